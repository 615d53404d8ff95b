"""Distilling in large batches and half the bits; ``python -m tsmemory.memory.bench_distillation``.

It takes what a ``kedro run`` has left. Every way sees the same training windows as often, and is
judged by the fused loss on validation windows. The rules that undo what does not help are left out,
so that training itself is compared.
"""

import argparse
import json
import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tsmemory.memory.adapter import AdapterConfig
from tsmemory.memory.closed_form import ClosedForm
from tsmemory.memory.config import FusionConfig, GuardConfig, ObjectiveConfig, TrainingConfig
from tsmemory.memory.fit_config import TeacherConfig
from tsmemory.memory.forecasts import BackboneForecasts
from tsmemory.memory.split import Split
from tsmemory.memory.training import distil_seeds
from tsmemory.retrieval.datastore import Datastore
from tsmemory.scaleout.large_batch import scaled_rate
from tsmemory.scaleout.writing import write_whole
from tsmemory.series.series_set import SeriesSet
from tsmemory.series.windows import Windows
from tsmemory.teacher.calibration import SpreadCalibration
from tsmemory.teacher.neighbours import Neighbours
from tsmemory.teacher.synthesis import Teacher, TeacherTargets

PLAIN = "AdamW"
BATCH = 64  # windows in a step at 1x: at 64x the sample still gives a few steps in a pass
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Material:
    """What is distilled.

    Attributes:
        train: Training windows.
        validation: Validation windows.
        targets: The teacher's targets of the training windows.
        closed_form: Where training starts.
    """

    train: Split
    validation: Split
    targets: TeacherTargets
    closed_form: ClosedForm

    @classmethod
    def read(cls, data: Path, domain: str) -> "Material":
        """Read the latest artefacts of a domain, made with the default teacher.

        Args:
            data: The project's folder ``data``.
            domain: Name of the domain.
        """
        primary, store, teacher = (
            data / layer / domain for layer in ("03_primary", "04_datastore", "05_teacher")
        )
        series = SeriesSet.from_pretrained(primary / "series_set")
        closed_form = ClosedForm.from_pretrained(data / "06_models" / domain / "closed_form")
        lengths = closed_form.ridge.weight.shape
        index = pd.read_parquet(primary / "window_index.parquet")
        train, validation = (
            Split(
                series,
                Windows.from_table(index, name, *lengths),
                BackboneForecasts.from_pretrained(store / f"{name}_forecasts"),
            )
            for name in ("train", "validation")
        )
        factors = json.loads(_latest(teacher / "teacher_calibration.json").read_text())
        config = TeacherConfig()
        synthesis = Teacher(
            Datastore.from_pretrained(_latest(store / "datastore")),
            series,
            train.forecasts.levels,
            config.shift_length,
            config.quantile_method,
            config.alignment,
            SpreadCalibration.from_json(factors),
        )
        neighbours = Neighbours.from_pretrained(_latest(teacher / "neighbours"))
        targets = TeacherTargets(synthesis, train.windows, neighbours)
        return cls(train, validation, targets, closed_form)


def ways(times: int, batch: int = BATCH) -> dict[str, TrainingConfig]:
    """All ways to learn from batches of so many times the usual size."""
    plain = TrainingConfig(batch_size=times * batch, rehearse=False)
    scaled = replace(plain, base_batch=batch)
    warm = replace(scaled, warmup=1.0)
    return {
        PLAIN: plain,
        "AdamW, bfloat16": replace(plain, precision="bfloat16"),
        "AdamW, scaled": scaled,
        "AdamW, scaled, warm-up": warm,
        "LARS": replace(warm, optimizer="lars"),
        "LAMB": replace(warm, optimizer="lamb"),
    }


def measure(material: Material, training: TrainingConfig, seed: int) -> dict[str, float]:
    """Distil in one way.

    Args:
        material: What is distilled.
        training: Optimizer, schedule and precision; patience is not heeded.
        seed: Of weights, order and dropout.

    Returns:
        ``steps`` taken; fused validation loss at the ``start``, after the ``last`` pass and the
        ``best`` one; and the ``training`` loss in the last pass.
    """
    windows, forecasts = material.train.windows, material.train.forecasts
    block = material.closed_form.start.block
    _, curve = distil_seeds(
        material.train,
        material.validation,
        material.targets,
        closed_form=material.closed_form,
        adapter=AdapterConfig(
            windows.context_length,
            windows.horizon,
            forecasts.levels,
            key_length=int(forecasts.keys.shape[1]),
            block=block,
        ),
        objective_config=ObjectiveConfig(),
        config=replace(training, patience=training.epochs + 1),
        fusion=FusionConfig(block=block, guard=GuardConfig(samples=100, enabled=False)),
        stride=int(np.diff(material.validation.windows.start[:2])[0]),
        seeds=[seed],
    )
    losses = [line["validation"] for line in curve]
    return {
        "steps": training.epochs * -(-len(windows) // training.batch_size),
        "start": losses[0],
        "last": losses[-1],
        "best": min(losses),
        "training": curve[-1]["total"],
    }


def compare(
    material: Material, sizes: Iterable[int], *, epochs: int, seeds: Iterable[int] = (0,)
) -> Iterator[dict[str, Any]]:
    """Measure all ways at multiples of the usual batch.

    Args:
        material: What is distilled.
        sizes: Multiples.
        epochs: Passes.
        seeds: Training seeds.

    Yields:
        A line for each multiple, way and seed: ``times``, ``way``, ``seed``, ``rate`` and what
        :func:`measure` found.
    """
    for times in sizes:
        for way, config in ways(times).items():
            training = replace(config, epochs=epochs)
            size, base = training.batch_size, training.base_batch
            rate = scaled_rate(training.learning_rate, size, base)
            for seed in seeds:
                found = measure(material, training, seed)
                yield {"times": times, "way": way, "seed": seed, "rate": rate, **found}


def main(arguments: Sequence[str]) -> None:
    """Measure, and write a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("data"), help="the project's folder")
    parser.add_argument("--domain", default="tmy_weather")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--times", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--out", type=Path, help="a CSV file for the table")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logger.setLevel(logging.INFO)
    material = Material.read(given.data, given.domain)
    lines = []
    for line in compare(material, given.times, epochs=given.epochs, seeds=given.seeds):
        logger.info("%s", line)
        lines.append(line)
    table = pd.DataFrame(lines)
    if given.out is not None:
        write_whole(given.out, table.to_csv(index=False))
    logger.info(table.to_string(index=False, float_format="%.5f"))


def _latest(versioned: Path) -> Path:
    """Newest version of a versioned artefact."""
    return max(versioned.iterdir()) / versioned.name


if __name__ == "__main__":
    main(sys.argv[1:])
