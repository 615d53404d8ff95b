"""The project as its users have it, copied to a folder where tests may run it."""

import hashlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from kedro.framework.project import configure_project
from omegaconf import OmegaConf

from tsmemory.runs.runner import ResumingSession

VERSION = re.compile(r"\d{4}-\d\d-\d\dT\d\d\.\d\d\.\d\d\.\d{3}Z")
# What tells of the run itself: its clock, and what it took on this machine.
OF_THE_RUN = {
    *("manifest.json", "manifest_versions.json", "ledger.json"),
    *("cost.csv", "cost_plot.json", "report.html", "report.json"),
}


@dataclass(frozen=True)
class Project:
    """A copy of the project.

    Attributes:
        folder: Where it lies.
        domain: The domain that its runs serve.
    """

    folder: Path
    domain: str = "test"

    @classmethod
    def make(cls, repository: Path, folder: Path, domain: str = "test") -> "Project":
        """Copy what ships with the project; the code is the installed package's."""
        shutil.copytree(repository / "conf", folder / "conf")
        (folder / "data").mkdir()
        shutil.copytree(repository / "data/01_raw", folder / "data/01_raw")
        for name in ("pyproject.toml", ".telemetry"):
            shutil.copy(repository / name, folder / name)
        return cls(folder, domain)

    def copy(self, folder: Path) -> "Project":
        """Copy this project with all its artefacts."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return Project(folder, self.domain)

    def serving(self, domain: str) -> "Project":
        """The same project, looked at for another domain."""
        return Project(self.folder, domain)

    def run(
        self,
        params: Mapping[str, Any] | None = None,
        *,
        env: str = "test",
        pipelines: Sequence[str] = (),
    ) -> list[str]:
        """Run pipelines as ``kedro run`` does, in this process.

        Args:
            params: Runtime parameters by their dotted paths.
            env: The environment.
            pipelines: Names of pipelines; the main way by default.

        Returns:
            The names of the steps that were not reused, without their namespaces.
        """
        configure_project("tsmemory")
        with ResumingSession.create(self.folder, env=env, runtime_params=nested(params or {})) as s:
            s.run(pipeline_names=list(pipelines) or None)
        return self.steps()

    def steps(self) -> list[str]:
        """What the latest run did not reuse, as its manifest tells."""
        nodes = self.report("manifest.json")["nodes"]
        return [line["node"].split(".")[-1] for line in nodes if line["seconds"] is not None]

    def artefact(self, name: str) -> Path:
        """File or folder of a dataset that the latest run made or reused."""
        lines = self.report("manifest.json")["artefacts"]
        path = next(line["path"] for line in lines if line["dataset"] == name)
        return self.folder / str(path)

    def report(self, name: str) -> Any:
        """A file of the reporting layer: JSON as it is, CSV as a table."""
        path = self.folder / "data/08_reporting" / self.domain / name
        return json.loads(path.read_text()) if path.suffix == ".json" else pd.read_csv(path)

    def digests(self, *datasets: str) -> dict[str, str]:
        """SHA-256 of the files of datasets, or of every artefact, by name without version."""
        places = [self.artefact(name) for name in datasets] or [self.folder / "data"]
        files = [f for place in places for f in ([place] if place.is_file() else place.rglob("*"))]
        return {
            VERSION.sub("<version>", file.relative_to(self.folder).as_posix()): hashlib.sha256(
                file.read_bytes()
            ).hexdigest()
            for file in files
            if file.is_file() and file.name not in OF_THE_RUN and "01_raw" not in file.parts
        }

    def has_artefacts(self) -> bool:
        """Whether any run has left anything."""
        return any(path.name != "01_raw" for path in (self.folder / "data").iterdir())


def nested(params: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted paths as nested mappings, as Kedro reads ``--params``."""
    made: dict[str, Any] = {}
    for path, value in params.items():
        *parents, name = path.split(".")
        place = made
        for parent in parents:
            place = place.setdefault(parent, {})
        place[name] = value
    return made


def tiny(repository: Path, **changes: Any) -> dict[str, Any]:
    """What the environment ``test`` sets, as runtime parameters for any other environment.

    Args:
        repository: Holds ``conf/test``.
        **changes: Further parameters, dots written as double underscores.
    """
    files = sorted((repository / "conf/test").glob("parameters_*.yml"))
    settings = OmegaConf.merge(*(OmegaConf.create(yaml.safe_load(f.read_text())) for f in files))
    plain: Any = OmegaConf.to_container(settings)
    return {**_flat("", plain), **{name.replace("__", "."): v for name, v in changes.items()}}


def _flat(path: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {path: value}
    flat: dict[str, Any] = {}
    for name, part in value.items():
        flat |= _flat(f"{path}.{name}" if path else name, part)
    return flat
