"""One seed gives one result, to the bit; batches change nothing that anybody could see."""

import os
import subprocess
import sys

import pytest


def test_two_runs_with_one_seed_are_bit_identical(base, fresh):
    """The second one from the command line, in a process that orders its sets otherwise."""
    (fresh.folder / "src").mkdir()  # Kedro asks for it; the code is the installed package's
    done = subprocess.run(
        [sys.executable, "-m", "kedro", "run", "--env", "test"],
        cwd=fresh.folder,
        env=os.environ | {"PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Report: data/08_reporting/test/report.html" in done.stdout
    first, second = base.digests(), fresh.digests()
    assert len(first) > 40
    assert second == first


def test_another_seed_is_another_result(base, grown):
    """Else the test above would compare what is not random at all."""
    grown.run({"distillation.seeds": [2, 3]}, pipelines=["distillation"])
    weights = [
        (project.artefact("adapter") / f"seed_{seed}.safetensors").read_bytes()
        for project, seed in ((base, 0), (base, 1), (grown, 2), (grown, 3))
    ]
    assert len(set(weights)) == 4


@pytest.mark.parametrize(("backbone", "evaluation"), [(7, 1), (256, 256)])
def test_results_do_not_depend_on_batches(base, grown, backbone, evaluation):
    steps = grown.run({"backbone.batch_size": backbone, "evaluation.batch_size": evaluation})
    assert {"forecast_training_windows", "distil_adapter", "score_methods"} <= set(steps)
    found, wanted = grown.report("leaderboard.csv"), base.report("leaderboard.csv")
    assert found["value"].tolist() == pytest.approx(wanted["value"].tolist(), rel=1e-6, abs=1e-6)
