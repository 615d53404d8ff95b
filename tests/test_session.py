"""A small Kedro project with our settings, run from the command line as users run it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

FILES = {
    "pyproject.toml": """
        [tool.kedro]
        package_name = "toy"
        project_name = "toy"
        kedro_init_version = "1.7.0"
        source_dir = "src"
    """,
    "src/toy/__init__.py": "",
    "src/toy/settings.py": "from tsmemory.settings import *  # noqa: F403\n",
    "src/toy/steps.py": """
        import os, time
        from pathlib import Path
        import numpy as np
        import pandas as pd
        from pydantic import BaseModel, ConfigDict, PositiveInt
        from tsmemory.scaleout.shards import map_shards

        class Teacher(BaseModel):
            model_config = ConfigDict(extra="forbid", frozen=True)
            k: PositiveInt
            power: int = 2

        def note(text):
            with Path(os.environ["TOY_CALLS"]).open("a") as calls:
                calls.write(f"{text}\\n")

        def clean(raw):
            note("clean")
            return [2 * x for x in raw]

        def teach(panel, teacher: Teacher, shards):
            def power(shard):
                note(f"shard {shard}")
                if shard == 2 and "TOY_HANG" in os.environ:
                    time.sleep(60)
                return {"x": np.array([float(panel[shard]) ** teacher.power])}
            note("teach")
            cache = shards.open(f"{panel}-{teacher}")
            results = map_shards(power, range(4), cache=cache, description="teaching")
            return {"sum": teacher.k * float(sum(r["x"][0] for r in results))}

        def report(lesson, seed: int):
            note("report")
            lines = [(m, 24, "mse", lesson["sum"], None, None, 1) for m in ("frozen", "tsmemory")]
            columns = "method horizon metric value low high seeds".split()
            return pd.DataFrame(lines, columns=columns)
    """,
    "src/toy/pipeline_registry.py": """
        from kedro.pipeline import Node, Pipeline
        from toy.steps import clean, report, teach

        def register_pipelines():
            ingestion = Pipeline([Node(clean, "raw", "panel", name="clean")])
            inputs = ["panel", "params:teacher", "shards"]
            teacher = Pipeline([Node(teach, inputs, "lesson", name="teach")])
            inputs = ["lesson", "params:seed"]
            evaluation = Pipeline([Node(report, inputs, "leaderboard", name="report")])
            parts = {"ingestion": ingestion, "teacher": teacher, "evaluation": evaluation}
            return parts | {"__default__": ingestion + teacher + evaluation}
    """,
    "conf/base/globals.yml": "domain: null\n",
    "conf/base/parameters.yml": """
        resume: true
        seed: 0
        ingestion: {path: data/01_raw/numbers}
        teacher: {k: 3, power: 2}
    """,
    "conf/fast/parameters.yml": "teacher: {power: 1}\n",
    "conf/base/catalog.yml": """
        _path: ${runtime_params:ingestion.path,data/01_raw/numbers}
        _domain: "${domain:${runtime_params:domain,${globals:domain}},${_path}}"
        raw: {type: json.JSONDataset, filepath: "${_path}"}
        panel: {type: json.JSONDataset, filepath: "data/${_domain}/panel.json"}
        lesson: {type: json.JSONDataset, filepath: "data/${_domain}/lesson.json", versioned: true}
        leaderboard:
          type: pandas.CSVDataset
          filepath: "data/08_reporting/${_domain}/leaderboard.csv"
        shards: {type: tsmemory.io.ShardCacheDataset, filepath: "data/${_domain}/shards"}
    """,
    "data/01_raw/numbers": "[1, 2, 3, 4]",
}


class Toy:
    """The project in a folder, and what running it printed and did."""

    def __init__(self, folder: Path, repository: Path) -> None:
        self.folder = folder
        for name, text in FILES.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = text.splitlines()
            path.write_text("\n".join(line.removeprefix(" " * 8) for line in lines) + "\n")
        (folder / "conf/local").mkdir()
        for name in ("conf/logging.yml", "conf/base/catalog_manifest.yml"):
            (folder / name).write_text((repository / name).read_text())
        self.calls = folder / "calls.txt"

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        self.calls.write_text("")
        known = {"TOY_CALLS": str(self.calls), "COLUMNS": "200", "KEDRO_DISABLE_TELEMETRY": "1"}
        return subprocess.Popen(
            [sys.executable, "-m", "kedro", "run", *arguments],
            cwd=self.folder,
            env=os.environ | known | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, fails: bool = False, **environment: str) -> tuple[str, str]:
        """Run and return the steps that ran, and what was printed with its spaces joined."""
        with self.start(*arguments, **environment) as process:
            output = process.communicate(timeout=120)[0]
        assert (process.returncode != 0) == fails, output
        steps = [line for line in self.calls.read_text().splitlines() if "shard" not in line]
        return " ".join(steps), " ".join(output.split())

    def read(self, name: str) -> Any:
        return json.loads((self.folder / "data" / name).read_text())


@pytest.fixture
def toy(tmp_path: Path, repository: Path) -> Toy:
    return Toy(tmp_path, repository)


def test_runs_resume_and_refuse(toy):
    steps, output = toy.run()
    assert steps == "clean teach report"
    assert "Table: data/08_reporting/numbers/leaderboard.csv" in output
    assert "frozen 360.000 tsmemory 360.000" in output  # k (2² + 4² + 6² + 8²)
    assert "teach begins, 2 of 3" in output
    assert "Loading data" not in output
    assert "WARNING" not in output
    manifest = toy.read("08_reporting/numbers/manifest.json")
    assert manifest["command"].startswith("__main__.py run") or "kedro" in manifest["command"]
    assert manifest["seeds"] == {"seed": 0}

    steps, output = toy.run()
    assert steps == ""
    assert "Reusing all 3 steps" in output

    steps, output = toy.run("--pipelines", "evaluation", "--params", "teacher.k=4", fails=True)
    assert steps == ""
    assert "lesson: teacher.k: 3 -> 4" in output
    assert "kedro run --pipelines teacher`" in output
    assert "Traceback" not in output

    steps, _ = toy.run("--params", "resume=false", "--runner", "SequentialRunner")
    assert steps == "clean teach report"
    assert toy.run("--env", "base")[0] == ""
    assert toy.run("--env", "fast")[0] == "teach report"


@pytest.mark.parametrize("runner", ["ParallelRunner", "ThreadRunner"])
def test_other_runners_are_refused_with_the_reason(toy, runner):
    steps, output = toy.run("--runner", runner, fails=True)
    assert steps == ""
    assert f"--runner {runner}: the steps of this project run one after another" in output
    assert "Traceback" not in output


def test_a_second_run_of_the_domain_is_refused_while_the_first_is_alive(toy):
    with toy.start(TOY_HANG="1") as process:
        deadline = time.monotonic() + 60
        while "shard 2" not in toy.calls.read_text():
            assert time.monotonic() < deadline, "the run did not come so far"
            time.sleep(0.02)
        steps, output = toy.run(fails=True)
        process.kill()
    assert steps == ""
    assert f"another run of this domain is under way (process {process.pid})" in output
    assert "Traceback" not in output
    assert toy.run()[0] == "teach report"
    assert not list(toy.folder.rglob("run.lock*"))


def test_own_data_have_their_own_domain(toy):
    (toy.folder / "My Data").write_text("[1, 1, 1, 1]")
    steps, _ = toy.run("--params", "ingestion.path=My Data,teacher.k=1")
    assert steps == "clean teach report"
    assert toy.read("my_data/panel.json") == [2, 2, 2, 2]
    assert toy.read("08_reporting/my_data/manifest.json")["parameters"]["teacher"] == {
        "k": 1,
        "power": 2,
    }
    assert not (toy.folder / "data/numbers").exists()


def test_bad_parameters_are_refused_without_a_traceback(toy):
    steps, output = toy.run("--params", "teacher.k=-1,teacher.kk=3", fails=True)
    assert steps == ""
    assert "teacher.k = -1: Input should be greater than 0" in output
    assert "teacher.kk: unknown parameter; did you mean teacher.k?" in output
    assert "Traceback" not in output
    _, output = toy.run("--params", "teacherr.k=5", fails=True)
    assert "teacherr: unknown parameter; did you mean teacher?" in output
    assert "Traceback" not in output


def test_a_killed_run_resumes_in_the_middle_of_a_step(toy):
    with toy.start(TOY_HANG="1") as process:
        deadline = time.monotonic() + 60
        while "shard 2" not in toy.calls.read_text():
            assert time.monotonic() < deadline, "the run did not come so far"
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    shards = toy.folder / "data/numbers/shards"
    assert len(list(shards.rglob("shard_*.npz"))) == 2
    steps, output = toy.run()
    assert steps == "teach report"
    assert "2 of 4 shards are already there" in output
    made = [line for line in toy.calls.read_text().splitlines() if "shard" in line]
    assert made == ["shard 2", "shard 3"]
    assert not shards.exists()  # the merged artefact is saved
