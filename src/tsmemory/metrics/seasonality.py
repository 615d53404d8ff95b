"""Season lengths by frequency, and the in-sample seasonal error that scales MASE."""

import re

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.tseries.frequencies import to_offset

# Steps in the customary cycle of each calendar frequency: a week for days, a year above.
_CALENDAR = {"D": 7, "B": 5, "C": 5, "W": 52}
_CALENDAR |= {f"{business}M{end}": 12 for business in ("", "B") for end in "SE"}
_CALENDAR |= {f"{business}Q{end}": 4 for business in ("", "B") for end in "SE"}

# Spellings that pandas 3 no longer reads, and pandas 2.2 reads with a warning.
_RENAMED = {"H": "h", "T": "min", "S": "s", "M": "ME", "BM": "BME", "Q": "QE", "BQ": "BQE"}
_RENAMED |= {"Y": "YE", "A": "YE", "AS": "YS"}
_DAY = pd.Timedelta(days=1)


def season_length(freq: str) -> int:
    """Steps in the customary season of a frequency.

    A day for steps below a day, a week for days, a year above; divided by the multiple of the
    frequency where it divides evenly. Frequencies without such a season, like years, have 1.

    Args:
        freq: Frequency as pandas writes it, in the spelling of pandas 2 or 3.

    Returns:
        The season in steps, at least 1.

    Raises:
        ValueError: If pandas does not know the frequency, or it does not move forward.
    """
    renamed = re.sub(r"[A-Za-z]+", lambda m: _RENAMED.get(m[0], m[0]), freq.split("-")[0])
    try:
        offset = to_offset("-".join([renamed, *freq.split("-")[1:]]))
    except ValueError as error:
        raise ValueError(
            f"unknown frequency {freq!r}; write it as pandas does, like 'h'"
        ) from error
    if offset.n < 1:
        raise ValueError(f"frequency {freq!r} does not move forward; give a positive step")
    cycle = _CALENDAR.get(offset.rule_code.split("-")[0])
    if cycle is not None:
        return _steps(cycle, offset.n)
    if not isinstance(offset, pd.offsets.Tick):
        return 1
    step = pd.Timedelta(offset)
    if step < _DAY:
        return _steps(_DAY.value, step.value)
    return _steps(7 * _DAY.value, step.value)


def seasonal_error(values: NDArray[np.floating], season: int) -> float:
    """Mean absolute error of the seasonal naive forecast in sample, the scale of MASE.

    Args:
        values: Training values of one row, NaN where missing. Shape ``(T,)``.
        season: Season in steps.

    Returns:
        Mean of ``|y[t] - y[t - season]|`` over pairs that are both observed, in the units of
        ``values``; NaN when there is none.

    Raises:
        ValueError: If ``season`` is below 1.
    """
    if season < 1:
        raise ValueError(f"a season has at least one step, got {season}")
    change = np.abs(values[season:].astype(np.float64) - values[:-season])
    observed = change[~np.isnan(change)]
    return float(observed.mean()) if len(observed) else float("nan")


def _steps(cycle: int, step: int) -> int:
    """Steps in a cycle, 1 where they do not fill it evenly."""
    return cycle // step if cycle % step == 0 else 1
