"""Zero-shot checks: validation windows of tables that are never trained on.

They show how a run goes and help to choose between recipes, so that the test split stays unread:
everything at or after the end of validation is cut off before windows are looked for.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsmemory.backbones.seasonal_naive import SeasonalNaive
from tsmemory.metrics import score_windows, season_length, seasonal_error
from tsmemory.pretraining.errors import PretrainingError
from tsmemory.series.scaling import fit_scaler
from tsmemory.series.series_set import Float, SeriesSet
from tsmemory.series.windows import SPLITS, Windows, index_windows

SHOWN = ("mse", "mae", "mase", "wql")

# Quantiles ``(B, Q, H)`` of contexts ``(B, L)`` for ``H`` steps.
Predict = Callable[[Float, int], Float]

_ARRAYS = ("contexts", "targets", "mean", "std", "seasonal_error")
_MISSING = 0.3  # windows with a larger share of missing values are left out


@dataclass(frozen=True)
class CheckWindows:
    """Validation windows of one table in train z units.

    Attributes:
        name: What the curve calls them.
        season: Steps in a season.
        contexts: NaN where missing. Shape ``(N, L)``.
        targets: NaN where missing. Shape ``(N, H)``.
        mean: Training mean of each window's row, raw units. Shape ``(N,)``.
        std: Training standard deviation of each window's row, raw units. Shape ``(N,)``.
        seasonal_error: In-sample seasonal error of each window's row, raw units. Shape ``(N,)``.
    """

    name: str
    season: int
    contexts: Float
    targets: Float
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    seasonal_error: NDArray[np.float64]

    @property
    def horizon(self) -> int:
        """H, steps of target."""
        return int(self.targets.shape[1])


def collect_windows(
    name: str,
    panel: pd.DataFrame,
    freq: str,
    borders: pd.DataFrame,
    *,
    context_length: int,
    horizon: int,
    windows: int,
) -> CheckWindows:
    """Collect validation windows, evenly spaced over all there are.

    Args:
        name: What the curve calls them.
        panel: Regular panel; rows at or after ``validation_end`` are not looked at.
        freq: Its step, as pandas writes it.
        borders: Table ``item_id, train_end, validation_end, …`` in steps of each series.
        context_length: L; contexts may reach back into training.
        horizon: H.
        windows: At most this many.

    Returns:
        The windows.

    Raises:
        PretrainingError: The validation split holds none.
        IngestionError: No series can be used.
    """
    known = _before_test(panel, borders)
    ends = borders.assign(test_end=borders["validation_end"])
    scaler, _ = fit_scaler(known, ends, min_length=horizon)
    series = SeriesSet.from_panel(known, scaler, freq)
    table = index_windows(
        series,
        ends,
        context_length=context_length,
        horizons=(horizon,),
        strides=dict.fromkeys(SPLITS, 1),
        max_missing_share=_MISSING,
    )
    found = Windows.from_table(table, "validation", context_length, horizon)
    if not len(found):
        raise PretrainingError(
            f"the validation split of {name} holds no window of {context_length} + {horizon} "
            "steps: shorten the check's context_length or horizon, or move its borders or shares"
        )
    places = np.linspace(0, len(found) - 1, min(windows, len(found)))
    found = found.take(places.round().astype(np.int64))
    season = season_length(freq)
    return CheckWindows(
        name=name,
        season=season,
        contexts=found.contexts(series),
        targets=found.targets(series),
        mean=series.mean[found.row],
        std=series.std[found.row],
        seasonal_error=_seasonal_errors(series, ends, season)[found.row],
    )


def score_check(check: CheckWindows, predict: Predict, levels: tuple[float, ...]) -> dict[str, Any]:
    """Score forecasts of a check's windows.

    Args:
        check: The windows.
        predict: Forecasts quantiles, ascending over levels.
        levels: Their levels.

    Returns:
        ``mse, mae`` of the median in train z units, ``mase`` and ``wql``.
    """
    scores = score_windows(
        predict(check.contexts, check.horizon),
        check.targets,
        levels=levels,
        horizons=(check.horizon,),
        complete=np.ones((len(check.targets), 1), dtype=np.bool_),
        std=check.std,
        mean=check.mean,
        seasonal_error=check.seasonal_error,
    )
    values = scores.metrics(0)
    return {metric: values[metric] for metric in SHOWN}


def tabulate_checks(
    checks: "CheckSet", predict: Predict, levels: tuple[float, ...]
) -> pd.DataFrame:
    """Score a model and the seasonal naive forecast on every check.

    Args:
        checks: The windows.
        predict: The model.
        levels: Levels of its quantiles.

    Returns:
        Table ``check, windows, context_length, horizon, method, mse, mae, mase, wql``; methods are
        ``pretrained`` and ``seasonal_naive``.
    """
    lines = []
    for check in checks.checks:
        naive = SeasonalNaive(check.season)
        methods: tuple[tuple[str, Predict, tuple[float, ...]], ...] = (
            ("pretrained", predict, levels),
            ("seasonal_naive", naive.predict_quantiles, naive.quantile_levels),
        )
        for method, forecast, own_levels in methods:
            about = {
                "check": check.name,
                "windows": len(check.targets),
                "context_length": check.contexts.shape[1],
                "horizon": check.horizon,
                "method": method,
            }
            lines.append({**about, **score_check(check, forecast, own_levels)})
    return pd.DataFrame(lines)


@dataclass(frozen=True)
class CheckSet:
    """The checks of a run.

    Attributes:
        checks: Each with a name of its own.
    """

    checks: tuple[CheckWindows, ...]

    def __post_init__(self) -> None:
        names = [check.name for check in self.checks]
        if len(set(names)) < len(names):
            raise PretrainingError(
                f"two checks have one name ({', '.join(names)}): give each a name of its own"
            )

    def summary(self) -> dict[str, Any]:
        """Sizes, for the catalog's preview."""
        return {
            check.name: {
                "windows": len(check.targets),
                "context_length": int(check.contexts.shape[1]),
                "horizon": check.horizon,
                "season": check.season,
            }
            for check in self.checks
        }

    def save_pretrained(self, folder: Path) -> None:
        """Write ``checks.json`` and one ``.npz`` file for each check."""
        seasons: Mapping[str, int] = {check.name: check.season for check in self.checks}
        (folder / "checks.json").write_text(json.dumps(seasons, indent=2), encoding="utf-8")
        for number, check in enumerate(self.checks):
            np.savez(folder / f"check_{number}.npz", **{n: getattr(check, n) for n in _ARRAYS})

    @classmethod
    def from_pretrained(cls, folder: Path) -> "CheckSet":
        """Read what :meth:`save_pretrained` wrote."""
        seasons = json.loads((folder / "checks.json").read_text(encoding="utf-8"))
        checks = []
        for number, (name, season) in enumerate(seasons.items()):
            with np.load(folder / f"check_{number}.npz", allow_pickle=False) as arrays:
                checks.append(CheckWindows(name, season, **{n: arrays[n] for n in _ARRAYS}))
        return cls(tuple(checks))


def _before_test(panel: pd.DataFrame, borders: pd.DataFrame) -> pd.DataFrame:
    """The panel's rows before the end of validation of their series."""
    ends = dict(zip(borders["item_id"].astype(str), borders["validation_end"], strict=True))
    place = panel.groupby("item_id", sort=False).cumcount()
    end = panel["item_id"].astype(str).map(ends).astype(float).fillna(0)
    return panel[place.to_numpy() < end.to_numpy()]


def _seasonal_errors(series: SeriesSet, borders: pd.DataFrame, season: int) -> NDArray[np.float64]:
    """Mean absolute seasonal difference of each row's training part, raw units. ``(R,)``."""
    ends = dict(zip(borders["item_id"].astype(str), borders["train_end"], strict=True))
    errors = [
        seasonal_error(series.row_values(row, int(ends[str(series.item_id[row])])), season)
        for row in range(len(series.length))
    ]
    return np.array(errors, dtype=np.float64) * series.std
