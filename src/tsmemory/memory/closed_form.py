"""What is known in closed form before anything is trained (METHOD 1.5)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file, save_file

from tsmemory.memory.config import FusionConfig
from tsmemory.memory.fusion import Fusion
from tsmemory.memory.location_fit import fit_location
from tsmemory.memory.out_of_fold import OutOfFold
from tsmemory.memory.out_of_fold_fit import fit_out_of_fold, ridge_parts, thin_folds
from tsmemory.memory.ridge import Ridge, fit_ridge, out_of_fold_ridges
from tsmemory.memory.split import Split
from tsmemory.memory.width_fit import fit_factor
from tsmemory.metrics import season_length
from tsmemory.series.windows import Windows

_FILE = "ridge.safetensors"


@dataclass(frozen=True)
class ClosedForm:
    """The linear skip and the fusion that holds during training.

    Attributes:
        ridge: The linear skip.
        start: Location weights and spread factors on out-of-fold training windows.
        penalties: Validation MSE (z units) of every ridge penalty tried.
        out_of_fold: What out-of-fold training windows say of the fusion; ``None`` where the
            training split is too short to leave any stretch out.
    """

    ridge: Ridge
    start: Fusion
    penalties: dict[str, float]
    out_of_fold: OutOfFold | None = None

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
    held_out = out_of_fold_ridges(
        fit, train.windows, train.series, penalty=ridge.penalty, folds=folds
    )
    start = starting_point(train, held_out, config)
    out_of_fold = None
    if held_out:
        season = season_length(train.series.freq)
        out_of_fold = fit_out_of_fold(train, held_out, start, season=season, config=config)
    return ClosedForm(ridge, start, errors, out_of_fold)


def starting_point(
    split: Split, folds: Sequence[tuple[np.ndarray, Ridge]], config: FusionConfig
) -> Fusion:
    """The closed-form fusion that holds during training, from out-of-fold ridges.

    Args:
        split: Training windows.
        folds: Positions of windows with a ridge that has not seen their steps.
        config: Blocks and shrinkage.

    Returns:
        Location weights and spread factors; the spread weight is 1 throughout. Without folds
        (a training split too short to leave any stretch out) all weights are one half.
    """
    levels = split.forecasts.levels
    median = levels.index(0.5)

    blocks = -(-split.windows.horizon // config.block)
    ones = (1.0,) * blocks
    if not folds:
        return Fusion(config.block, (0.5,) * blocks, ones, ones)
    location = fit_location(
        ridge_parts(split, folds), block=config.block, median=median, shrinkage=config.shrinkage
    )
    factor = fit_factor(
        ridge_parts(split, thin_folds(folds, split.windows.horizon)),
        location,
        block=config.block,
        levels=levels,
        median=median,
        shrinkage=config.shrinkage,
    )
    return Fusion(config.block, location, ones, factor)
