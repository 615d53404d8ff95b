"""A toy project of four steps, run as Kedro's session runs one."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from kedro.framework.hooks.manager import _create_hook_manager
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro.runner import AbstractRunner
from pydantic import BaseModel, ConfigDict, PositiveInt

from tsmemory.hooks import RunHooks
from tsmemory.runs.ledger import Ledger
from tsmemory.runs.record import RunRecord
from tsmemory.runs.runner import ResumingRunner

CALLS: list[str] = []
FAIL: set[str] = set()


class TeacherParams(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    k: PositiveInt = 3
    seed: int = 0


def _called(name: str) -> None:
    CALLS.append(name)
    if name in FAIL:
        raise RuntimeError(f"{name} broke")


def clean(raw: list[float]) -> list[float]:
    _called("clean")
    return [2 * x for x in raw]


def teach(panel: list[float], teacher: TeacherParams) -> tuple[dict[str, Any], list[float]]:
    _called("teach")
    return {"k": teacher.k}, panel[: teacher.k]


def fit(lessons: list[float], rate: float) -> dict[str, float]:
    _called("fit")
    return {"weight": rate * sum(lessons)}


def score(adapter: dict[str, float], panel: list[float], options: dict[str, Any]) -> Any:
    _called("score")
    return {"error": abs(adapter["weight"] - sum(panel)), "horizon": options["horizon"]}


PREPARATION = Pipeline([Node(clean, "raw", "panel", name="clean")])
TEACHING = Pipeline(
    [
        Node(teach, ["panel", "params:teacher"], ["teacher", "lessons"], name="teach"),
        Node(fit, ["lessons", "params:rate"], "adapter", name="fit"),
    ]
)
SCORING = Pipeline([Node(score, ["adapter", "panel", "params:score"], "metrics", name="score")])
PIPELINES = {
    "__default__": PREPARATION + TEACHING + SCORING,
    "preparation": PREPARATION,
    "teaching": TEACHING,
    "scoring": SCORING,
}


@dataclass
class Project:
    """The toy project in a folder of its own; every run has a fresh catalog, as in Kedro."""

    folder: Path
    count: int = 0
    ledger_entry: bool = True
    pipelines: dict[str, Pipeline] = field(default_factory=lambda: dict(PIPELINES))
    record: RunRecord | None = None

    def catalog(self, load_versions: dict[str, str] | None = None, **changed: Any) -> DataCatalog:
        self.count += 1
        entries: dict[str, Any] = {
            name: {
                "type": "tsmemory.io.AtomicJSONDataset",
                "filepath": (self.folder / f"data/{name}.json").as_posix(),
                "versioned": name in {"teacher", "adapter", "metrics", "manifest_versions"},
            }
            for name in (
                *("raw", "panel", "teacher", "adapter", "metrics"),
                *(("manifest", "manifest_versions") if self.ledger_entry else ()),
            )
        }
        catalog = DataCatalog.from_config(
            entries, load_versions=load_versions, save_version=f"2026-01-01T00.00.{self.count:02d}"
        )
        values = {"teacher": {"k": 3}, "rate": 0.5, "score": {"horizon": 24}, "resume": True}
        values |= changed
        catalog["parameters"] = values
        for name, value in values.items():
            # Kedro hands models only to the pipelines that are run; the others see mappings.
            typed = name == "teacher" and isinstance(value, dict)
            catalog[f"params:{name}"] = TeacherParams(**value) if typed else value
        return catalog

    def run(
        self,
        name: str = "__default__",
        *,
        runner: AbstractRunner | None = None,
        catalog: DataCatalog | None = None,
        pipeline: Pipeline | None = None,
        **changed: Any,
    ) -> list[str]:
        """Run as KedroSession does and return the steps that ran."""
        CALLS.clear()
        catalog = catalog or self.catalog(**changed)
        pipeline = pipeline or self.pipelines[name]
        hooks, manager = RunHooks(self.pipelines), _create_hook_manager()
        manager.register(hooks)
        call = {
            "run_params": {
                "run_id": f"run-{self.count}",
                "project_path": self.folder.as_posix(),
                "env": "test",
                "pipeline_names": [name],
            },
            "pipeline": pipeline,
            "catalog": catalog,
        }
        manager.hook.before_pipeline_run(**call)
        self.record = hooks.record
        try:
            result = (runner or ResumingRunner()).run(pipeline, catalog, manager)
        except Exception as error:
            manager.hook.on_pipeline_error(error=error, **call)
            raise
        manager.hook.after_pipeline_run(run_result=result, **call)
        self.result = result
        return list(CALLS)

    def read(self, name: str, version: int | None = None) -> Any:
        path = self.folder / f"data/{name}.json"
        if version is not None:
            path = path / f"2026-01-01T00.00.{version:02d}" / path.name
        return json.loads(path.read_text())

    def versions(self, name: str) -> list[str]:
        return sorted(path.name for path in (self.folder / f"data/{name}.json").iterdir())

    @property
    def calls(self) -> list[str]:
        """Steps that ran, of the last run."""
        return CALLS

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.folder / "data/ledger.json")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/raw.json").write_text("[1.0, 2.0, 3.0, 4.0]")
    FAIL.clear()
    return Project(tmp_path)


@pytest.fixture
def breaking() -> Callable[[str], None]:
    """Makes a step raise until the end of the test."""
    return FAIL.add


@pytest.fixture
def mended() -> Callable[[], None]:
    return FAIL.clear
