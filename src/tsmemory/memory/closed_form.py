"""What is known in closed form before anything is trained (METHOD 1.5)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from tsmemory.memory.config import FusionConfig
from tsmemory.memory.cross_fit import CrossFit
from tsmemory.memory.fusion import Fusion
from tsmemory.memory.fusion_parts import Naive
from tsmemory.memory.location_fit import fit_location
from tsmemory.memory.out_of_fold import OutOfFold
from tsmemory.memory.out_of_fold_fit import MOST_STEPS, cross_fit_parts, fit_out_of_fold
from tsmemory.memory.ridge import Ridge, fit_ridge
from tsmemory.memory.split import Split
from tsmemory.memory.width_fit import fit_factor
from tsmemory.metrics import season_length
from tsmemory.series.series_set import Int
from tsmemory.series.windows import Windows

_FILE = "ridge.safetensors"


@dataclass(frozen=True)
class ClosedForm:
    """The linear skip and the fusion that holds during training.

    Attributes:
        ridge: The linear skip.
        start: Weights of the median and spread factors on out-of-fold training windows.
        penalties: Validation MSE (z units) of every ridge penalty tried.
        out_of_fold: What out-of-fold training windows say of the fusion; ``None`` where the
            training split is too short to leave any stretch out.
        cross_fit: Training windows as they look from outside; ``None`` likewise.
    """

    ridge: Ridge
    start: Fusion
    penalties: dict[str, float]
    out_of_fold: OutOfFold | None = None
    cross_fit: CrossFit | None = None

    def of_windows(self, which: Int) -> "ClosedForm":
        """The same for some of the training windows."""
        cross_fit = None if self.cross_fit is None else self.cross_fit.take(which)
        return replace(self, cross_fit=cross_fit)

    def summary(self) -> dict[str, Any]:
        """The choices, for the catalog's preview."""
        return {
            "ridge_penalty": self.ridge.penalty,
            "validation_mse_by_penalty": self.penalties,
            "start": self.start.to_json(),
            "out_of_fold": None if self.out_of_fold is None else self.out_of_fold.summary(),
        }

    def save_pretrained(self, folder: Path) -> None:
        """Write ``config.json`` and ``ridge.safetensors``."""
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.summary(), indent=2)
        (folder / "config.json").write_text(text, encoding="utf-8")
        weights = {"weight": self.ridge.weight, "bias": self.ridge.bias}
        if self.out_of_fold is not None:
            weights |= self.out_of_fold.tensors()
        if self.cross_fit is not None:
            weights |= self.cross_fit.tensors()
        save_file({n: w.contiguous() for n, w in weights.items()}, folder / _FILE)

    @classmethod
    def from_pretrained(cls, folder: Path) -> "ClosedForm":
        """Read what :meth:`save_pretrained` wrote."""
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        weights = load_file(folder / _FILE)
        about = config["out_of_fold"]
        return cls(
            ridge=Ridge(weights["weight"], weights["bias"], config["ridge_penalty"]),
            start=Fusion.from_json(config["start"]),
            penalties=config["validation_mse_by_penalty"],
            out_of_fold=None if about is None else OutOfFold.from_tensors(about, weights),
            cross_fit=CrossFit.from_tensors(weights),
        )


def fit_closed_form(
    fit: Windows,
    train: Split,
    validation: Windows,
    *,
    penalties: Sequence[float],
    folds: int,
    config: FusionConfig,
) -> ClosedForm:
    """Solve the ridge, choose its penalty on validation, and fuse it out of fold.

    Args:
        fit: Training windows that the ridge is solved on.
        train: Training windows with the backbone's forecasts.
        validation: Windows that choose the penalty.
        penalties: Ridge penalties to try.
        folds: Stretches of training time that are left out in turn.
        config: Horizon blocks and shrinkage.

    Returns:
        The closed form.
    """
    ridge, errors = fit_ridge(fit, validation, train.series, penalties)
    cross_fit = CrossFit.fit(fit, train.windows, train.series, penalty=ridge.penalty, folds=folds)
    if cross_fit is None:
        return ClosedForm(ridge, even_start(train.windows.horizon, config.block), errors)
    season = season_length(train.series.freq)
    start = starting_point(train, cross_fit, ridge, config)
    known = fit_out_of_fold(train, cross_fit, ridge, start, season=season, config=config)
    naive = Naive.of(known.mixed[1:], season)
    start = replace(start, location=tuple(map(float, known.mixed[0])), naive=naive)
    return ClosedForm(ridge, start, errors, known, cross_fit)


def even_start(horizon: int, block: int) -> Fusion:
    """What training starts from where nothing tells it: half backbone, half ridge."""
    blocks = -(-horizon // block)
    ones = (1.0,) * blocks
    return Fusion(block, (0.5,) * blocks, ones, ones)


def starting_point(split: Split, cross_fit: CrossFit, own: Ridge, config: FusionConfig) -> Fusion:
    """The fusion of backbone and ridge on training windows that the ridge does not know.

    Args:
        split: Training windows.
        cross_fit: Ridges that do not know them.
        own: The ridge of windows that have none.
        config: Blocks and shrinkage.

    Returns:
        Location weights and spread factors; the spread weight is 1 throughout.
    """
    levels = split.forecasts.levels
    median = levels.index(0.5)
    thinned = cross_fit.members(MOST_STEPS // split.windows.horizon)
    location = fit_location(
        cross_fit_parts(split, cross_fit, own, cross_fit.members()),
        block=config.block,
        median=median,
        shrinkage=config.shrinkage,
    )
    factor = fit_factor(
        cross_fit_parts(split, cross_fit, own, thinned),
        location,
        block=config.block,
        levels=levels,
        median=median,
        shrinkage=config.shrinkage,
    )
    return Fusion(config.block, location, (1.0,) * len(location), factor)
