"""What the masks study works on: the earlier part of validation, never the later one."""

from dataclasses import asdict, replace

from tsmemory.fingerprint import digest
from tsmemory.series.windows import Windows
from tsmemory.trace.bench import Bench
from tsmemory.trace.splits import TraceWindows
from tsmemory.tuning.masks.config import MaskStudyConfig


def early_bench(bench: Bench, config: MaskStudyConfig) -> Bench:
    """A bench that knows the earlier part of validation alone, with the sizes of the study.

    The part that scores sites in TRACE stands for both parts here: it gives the head its penalty,
    scores sites, judges trials and stops training. The later part is left untouched for the
    confirmation.

    Args:
        bench: What TRACE is made on.
        config: Sizes of the study.

    Returns:
        Another bench on the same backbone and training windows.
    """
    windows = TraceWindows(bench.windows.train, bench.windows.scoring, bench.windows.scoring)
    training = replace(
        bench.config.training,
        batch_size=config.batch_size,
        start_windows=min(config.start_windows, bench.config.training.start_windows),
        selection_windows=config.windows,
    )
    scoring = replace(bench.config.scoring, windows=config.windows)
    return Bench(
        bench.base,
        bench.series,
        windows,
        replace(bench.config, training=training, scoring=scoring),
        horizons=bench.horizons,
        levels=bench.levels,
    )


def plain_bench(early: Bench, later: Windows) -> Bench:
    """A bench to send to another process: without what it has computed.

    Args:
        early: What :func:`early_bench` gave.
        later: The later part of validation.

    Returns:
        A bench that :func:`early_bench` makes the same of again.
    """
    return Bench(
        early.base,
        early.series,
        replace(early.windows, selection=later),
        early.config,
        horizons=early.horizons,
        levels=early.levels,
    )


def bench_fingerprint(early: Bench, config: MaskStudyConfig, seed: int) -> str:
    """Digest of all that a trial's value depends on, but for the code.

    Args:
        early: What :func:`early_bench` gave.
        config: Sizes of the study.
        seed: Of training.
    """
    windows = early.windows
    return digest(
        {
            "windows": [
                part.fingerprint(early.series) for part in (windows.train, windows.scoring)
            ],
            "backbone": early.base.checkpoint.fingerprint,
            "horizons": early.horizons,
            "levels": early.levels,
            "trace": asdict(early.config),
            "study": asdict(config),
            "seed": seed,
        }
    )
