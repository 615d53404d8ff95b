"""Scaling by training statistics, and the choice of rows that can be learnt from (METHOD 1.1)."""

import logging

import numpy as np
import pandas as pd

from tsmemory.series.errors import IngestionError, first_of, of_file

logger = logging.getLogger(__name__)


def fit_scaler(
    panel: pd.DataFrame, borders: pd.DataFrame, *, min_length: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fit mean and standard deviation of every channel of every series on its training part.

    The population standard deviation is used, missing values are ignored, and zero becomes 1
    (METHOD 1.1). Nothing at or after a series' training border has any influence.

    Args:
        panel: Regular panel, NaN where missing.
        borders: Table with ``item_id, train_end, test_end``; series without a line are skipped as
            too short for fixed borders.
        min_length: Steps that the shortest usable training part has: one context and one target.

    Returns:
        The scaler, ``item_id, channel, mean, std``, one line for each row to use; and what is
        skipped, ``item_id, channel, reason``.

    Raises:
        IngestionError: Every channel of every series is skipped.
    """
    train_end = dict(zip(borders["item_id"].astype(str), borders["train_end"], strict=True))
    channels = list(panel.columns[2:])
    fitted: list[tuple[str, str, float, float]] = []
    skipped: list[tuple[str, str, str]] = []
    for item, group in panel.groupby("item_id", sort=False):
        if str(item) not in train_end:
            short = (
                f"too short: it has {len(group)} steps, ingestion.borders end at step "
                f"{borders['test_end'].max()}"
            )
            skipped += [(str(item), channel, short) for channel in channels]
            continue
        train = group[channels].to_numpy(dtype=np.float64)[: train_end[str(item)]]
        for channel, values in zip(channels, train.T, strict=True):
            if reason := _why_skip(values, min_length):
                skipped.append((str(item), channel, reason))
                continue
            std = float(np.nanstd(values))
            # Values that differ by next to nothing can have a zero that is no constant.
            fitted.append((str(item), channel, float(np.nanmean(values)), std or 1.0))
    lines = [f"{item!r} {channel!r}: {reason}" for item, channel, reason in skipped]
    if not fitted:
        raise IngestionError(
            f"no series can be used; {first_of(lines, len(lines))}. Give more history, or shorten "
            "windowing.context_length or windowing.horizons"
        )
    if skipped:
        logger.warning(of_file(f"series skipped: {first_of(lines, len(lines))}"))
    return (
        pd.DataFrame(fitted, columns=["item_id", "channel", "mean", "std"]),
        pd.DataFrame(skipped, columns=["item_id", "channel", "reason"], dtype="object"),
    )


def _why_skip(train: np.ndarray, min_length: int) -> str | None:
    """Why a row cannot be learnt from, ``None`` if it can. ``train`` has shape ``(T,)``."""
    if len(train) < min_length:
        return (
            f"too short: its training part has {len(train)} steps, context and longest horizon "
            f"need {min_length}"
        )
    observed = train[~np.isnan(train)]
    if len(observed) == 0:
        return "no observed value in its training part"
    if observed.min() == observed.max():
        return f"constant in its training part ({observed[0]:g})"
    return None
