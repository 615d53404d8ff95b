"""The pipeline ``distillation`` on two ranks, spawned by its node and started by torchrun."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

ALONE = {
    "distillation.adapter.dropout": 0,
    "distillation.training.learning_rate": 0.003,
    "distillation.training.rehearse": False,
}
SPAWNED = {**ALONE, "distillation.training.devices": 2}


def learnt(project):
    """Weights of both seeds, and the losses on the way."""
    folder = project.artefact("adapter")
    states = {seed: load_file(folder / f"seed_{seed}.safetensors") for seed in (0, 1)}
    return states, pd.read_csv(project.artefact("loss_curve"))


def assert_same(found, expected):
    for seed, state in expected[0].items():
        for name, weight in state.items():
            torch.testing.assert_close(found[0][seed][name], weight, rtol=0, atol=1e-5)
    pd.testing.assert_frame_equal(found[1], expected[1], rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def alone(base, tmp_path_factory):
    """A run on one rank; its project, and what it has learnt."""
    project = base.copy(tmp_path_factory.mktemp("ranks"))
    project.run(ALONE, pipelines=["distillation"])
    return project, learnt(project)


def test_a_node_spawns_ranks_and_runs_once(alone):
    project, expected = alone
    steps = project.run(SPAWNED, pipelines=["distillation"])
    assert steps.count("distil_adapter") == 1
    assert expected[1]["validation"].nunique() > 3  # every epoch of both seeds was another
    assert_same(learnt(project), expected)


def test_torchrun_runs_the_project_once(alone):
    project, expected = alone
    before = project.artefact("adapter")
    # In buckets of another size, or what one rank has learnt would be reused.
    changed = {**ALONE, "distillation.training.communication.bucket_cap_mb": 0.001}
    params = ",".join(f"{name}={value}" for name, value in changed.items())
    asked = ["--env", "test", "--pipelines", "distillation", "--params", params]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    source = str(Path(__file__).parents[2] / "src")
    done = subprocess.run(
        [*launcher, "-m", "tsmemory.scaleout.launch", *asked],
        cwd=project.folder,
        env=os.environ | {"PYTHONPATH": source, "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert said.count("Completed in") == 1
    assert project.artefact("adapter") != before
    assert_same(learnt(project), expected)
