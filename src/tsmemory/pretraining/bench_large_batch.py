"""Large batches and half the bits; ``python -m tsmemory.pretraining.bench_large_batch``.

A small network is pretrained in one way after the other. Every way sees the same synthetic windows
in the same order, once, and is judged by the loss on held-out ones. LAMB's rate was chosen by those
at 64x with seed 0, its betas and the rate of the rest with seeds 3 and 4.
"""

import argparse
import logging
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from tsmemory.pretraining.config import ModelConfig, OptimizerConfig, TrainingConfig
from tsmemory.pretraining.corpus import CorpusConfig
from tsmemory.pretraining.curve import held_out_loss
from tsmemory.pretraining.errors import PretrainingError
from tsmemory.pretraining.task import Pretraining
from tsmemory.pretraining.training import pretrain
from tsmemory.scaleout.config import OptimizerKind, PrecisionKind
from tsmemory.scaleout.large_batch import scaled_rate
from tsmemory.scaleout.writing import write_whole

PRECISIONS: tuple[PrecisionKind, ...] = ("float32", "bfloat16", "float16")
BASELINE = "AdamW"
_RATES: dict[OptimizerKind, float] = {"adamw": 1e-3, "lars": 0.02, "lamb": 0.01}
_BETAS = (0.8, 0.95)  # of LAMB
_REST_RATE = 0.02  # of what LAMB leaves to AdamW
_WARMUP = 0.1  # of all steps
_AVERAGE = 0.998  # decay of the average of the weights at 1x
_POINTS = 8  # of a loss curve
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """What is learnt.

    Attributes:
        samples: Windows in all.
        batch: Windows in a step at 1x.
        held_out: Windows of each context length that judge.
        seed: Of weights and windows.
    """

    samples: int = 65_536
    batch: int = 4
    held_out: int = 1024
    seed: int = 0


MODEL = ModelConfig(
    context_length=128,
    horizon=32,
    patch_length=16,
    width=32,
    hidden=64,
    heads=4,
    encoder_layers=1,
    decoder_layers=1,
)
CORPUS = CorpusConfig(contexts={128: 1.0}, horizon=32, chunk=1024)


def ways(times: int, task: Task) -> dict[str, OptimizerConfig]:
    """All ways to learn from batches of so many times the usual size.

    Their averages of weights go back over as many windows as at 1x (Busbridge et al., 2023).

    Args:
        times: The multiple.
        task: What is learnt.
    """
    steps = task.samples // (times * task.batch)
    warmup = round(_WARMUP * steps)
    adamw, lars, lamb = (
        OptimizerConfig(kind=kind, learning_rate=rate, warmup=warmup, average=_AVERAGE**times)
        for kind, rate in _RATES.items()
    )
    return {
        BASELINE: adamw,
        "AdamW, scaled": replace(adamw, base_batch=task.batch),
        "LARS": lars,
        "LAMB": replace(lamb, beta1=_BETAS[0], beta2=_BETAS[1], adamw_rate=_REST_RATE),
    }


def measure(
    task: Task, times: int, optimizer: OptimizerConfig, precision: PrecisionKind = "float32"
) -> pd.DataFrame:
    """Pretrain in one way.

    Args:
        task: What is learnt.
        times: Multiple of the usual batch.
        optimizer: How weights move.
        precision: How matrices are multiplied.

    Returns:
        The loss curve, with ``held_out``, the mean loss over context lengths.
    """
    batch = times * task.batch
    steps = task.samples // batch
    config = TrainingConfig(
        steps=steps,
        batch=batch,
        seed=task.seed,
        precision=precision,
        check_every=max(steps // _POINTS, 1),
        held_out=task.held_out,
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer = pretrain(Pretraining(MODEL, CORPUS, optimizer, config, Path(folder), {}))
    curve = pd.DataFrame(trainer.curve)
    return curve.assign(held_out=held_out_loss(curve))


def compare(
    task: Task, sizes: Sequence[int], chosen: Sequence[str] | None = None
) -> Iterator[dict[str, Any]]:
    """Measure ways at multiples of the usual batch.

    Args:
        task: What is learnt.
        sizes: Multiples.
        chosen: Names of :func:`ways`; all if not given.

    Yields:
        A line for each multiple and way: ``times``, ``steps``, ``way``, ``rate``, ``warmup`` and
        the ``held_out`` loss at the end; NaN where training has failed.
    """
    for times in sizes:
        batch = times * task.batch
        for way, optimizer in ways(times, task).items():
            if chosen is not None and way not in chosen:
                continue
            try:
                held_out = float(measure(task, times, optimizer)["held_out"].iloc[-1])
            except PretrainingError as error:
                logger.warning("%s at %dx: %s", way, times, error)
                held_out = float("nan")
            yield {
                "times": times,
                "steps": task.samples // batch,
                "way": way,
                "rate": scaled_rate(optimizer.learning_rate, batch, optimizer.base_batch),
                "warmup": optimizer.warmup,
                "held_out": held_out,
            }


def compare_precisions(task: Task, times: int) -> pd.DataFrame:
    """Loss curves in all precisions, at one batch.

    Args:
        task: What is learnt.
        times: Multiple of the usual batch.

    Returns:
        Table ``step`` and, for each precision, its held-out loss and seconds.
    """
    optimizer = ways(times, task)[BASELINE]
    table = pd.DataFrame()
    for precision in PRECISIONS:
        curve = measure(task, times, optimizer, precision)
        table["step"] = curve["step"]
        table[precision] = curve["held_out"]
        table[f"{precision}_seconds"] = curve["seconds"]
    return table


def main(arguments: Sequence[str]) -> None:
    """Measure, and write tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=Task.samples)
    parser.add_argument("--batch", type=int, default=Task.batch, help="windows in a step at 1x")
    parser.add_argument("--seed", type=int, default=Task.seed)
    parser.add_argument("--times", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--ways", nargs="+", help="by name; all if not given")
    parser.add_argument("--precisions", action="store_true", help="compare those instead, at 8x")
    parser.add_argument("--out", type=Path, help="a CSV file for the table")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logger.setLevel(logging.INFO)
    task = Task(chosen.samples, chosen.batch, seed=chosen.seed)
    if chosen.precisions:
        table = compare_precisions(task, times=8)
    else:
        lines = []
        for line in compare(task, chosen.times, chosen.ways):
            logger.info("%s", line)
            lines.append(line)
        table = pd.DataFrame(lines)
    if chosen.out is not None:
        write_whole(chosen.out, table.to_csv(index=False))
    logger.info(table.to_string(index=False, float_format="%.4f"))


if __name__ == "__main__":
    main(sys.argv[1:])
