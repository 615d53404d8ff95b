"""Forecasts to look at: the best, the median and the worst test window."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsmemory.evaluation.methods import Method
from tsmemory.evaluation.scores import MethodScores
from tsmemory.memory.split import Split

_CONTEXT_SHOWN = 1.5  # horizons of context beside the forecast
_LEAST_LOSS = 0.1  # of the frozen backbone, relative to its mean


def collect_fans(
    split: Split, scores: MethodScores, methods: dict[str, Method], timestamps: dict[str, pd.Series]
) -> pd.DataFrame:
    """Forecast fans of three windows, chosen by the fused forecast's skill over the frozen one.

    Skill is that of the scaled pinball loss at the longest horizon that any window reaches. Windows
    on which the frozen backbone hardly errs are passed over, since there any ratio is possible.

    Args:
        split: The test windows.
        scores: Their scores.
        methods: Forecasters to show.
        timestamps: Timestamps of each series, for the labels.

    Returns:
        Table ``kind, label, skill, step, method, level, value`` in raw units; ``step`` is negative
        in the context, and method ``truth`` has no level.
    """
    ranked, skill = _rank_windows(scores)
    chosen = {"best": 0, "median": len(ranked) // 2, "worst": len(ranked) - 1}
    frames = [
        _fan(kind, split.take(ranked[[place]]), methods, timestamps).assign(skill=skill[place])
        for kind, place in chosen.items()
    ]
    return pd.concat(frames, ignore_index=True)


def _rank_windows(scores: MethodScores) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Windows from the highest skill to the lowest, equal ones by the fused loss; and the skill."""
    fused, frozen = scores.methods["tsmemory"], scores.methods["frozen"]
    last = np.flatnonzero(fused.count.any(axis=0))[-1]  # a short test split may lack the longest
    counted = np.flatnonzero(fused.count[:, last])
    own, reference = (
        part.pinball[counted, last] / part.count[counted, last] for part in (fused, frozen)
    )
    telling = reference >= _LEAST_LOSS * reference.mean()
    counted, own, reference = counted[telling], own[telling], reference[telling]
    skill = 1 - np.divide(own, reference, out=np.ones_like(own), where=reference > 0)
    order = np.lexsort((own, -skill))
    return counted[order], skill[order]


def _fan(
    kind: str, one: Split, methods: dict[str, Method], timestamps: dict[str, pd.Series]
) -> pd.DataFrame:
    series, row = one.series, int(one.windows.row[0])
    item, channel = str(series.item_id[row]), str(series.channel[row])
    origin = int(one.windows.origin[0])
    horizon = one.windows.horizon
    shown = min(int(_CONTEXT_SHOWN * horizon), one.windows.context_length)

    def raw(values: np.ndarray) -> np.ndarray:
        return np.asarray(values * series.std[row] + series.mean[row])

    context = one.windows.contexts(series)[0, -shown:]
    truth = np.concatenate([context, one.windows.targets(series)[0]])
    label = f"{item}, {channel}, {timestamps[item].iloc[origin]:%Y-%m-%d %H:%M}"
    frames = [
        pd.DataFrame(
            {
                "step": np.arange(-shown, horizon),
                "method": "truth",
                "level": np.nan,
                "value": raw(truth),
            }
        )
    ]
    for name, method in methods.items():
        for level, values in zip(one.forecasts.levels, method(one)[0], strict=True):
            frames.append(
                pd.DataFrame(
                    {
                        "step": np.arange(horizon),
                        "method": name,
                        "level": level,
                        "value": raw(values),
                    }
                )
            )
    return pd.concat(frames, ignore_index=True).assign(kind=kind, label=label)
