"""What is known in closed form before anything is trained (METHOD 1.5)."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from tsmemory.memory.config import FusionConfig
from tsmemory.memory.fusion import Fusion
from tsmemory.memory.fusion_fit import Part, fit_factor, fit_location
from tsmemory.memory.ridge import Ridge, fit_ridge, out_of_fold_ridges
from tsmemory.memory.split import BATCH, Split
from tsmemory.series.windows import Windows

_FILE = "ridge.safetensors"


@dataclass(frozen=True)
class ClosedForm:
    """The linear skip and the fusion that holds during training.

    Attributes:
        ridge: The linear skip.
        start: Location weights and spread factors on out-of-fold training windows.
        penalties: Validation MSE (z units) of every ridge penalty tried.
    """

    ridge: Ridge
    start: Fusion
    penalties: dict[str, float]

    def summary(self) -> dict[str, Any]:
        """The choices, for the catalog's preview."""
        return {
            "ridge_penalty": self.ridge.penalty,
            "validation_mse_by_penalty": self.penalties,
            "start": self.start.to_json(),
        }

    def save_pretrained(self, folder: Path) -> None:
        """Write ``config.json`` and ``ridge.safetensors``."""
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.summary(), indent=2)
        (folder / "config.json").write_text(text, encoding="utf-8")
        weights = {"weight": self.ridge.weight, "bias": self.ridge.bias}
        save_file({n: w.contiguous() for n, w in weights.items()}, folder / _FILE)

    @classmethod
    def from_pretrained(cls, folder: Path) -> "ClosedForm":
        """Read what :meth:`save_pretrained` wrote."""
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        weights = load_file(folder / _FILE)
        return cls(
            ridge=Ridge(weights["weight"], weights["bias"], config["ridge_penalty"]),
            start=Fusion.from_json(config["start"]),
            penalties=config["validation_mse_by_penalty"],
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
    return ClosedForm(ridge, starting_point(train, held_out, config), errors)


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

    def parts() -> Iterator[Part]:
        for members, ridge in folds:
            for first in range(0, len(members), BATCH):
                part = split.take(members[first : first + BATCH])
                contexts, target, quantiles, _ = part.tensors()
                point = torch.from_numpy(ridge.predict(contexts.numpy()))
                memory = quantiles + (point - quantiles[:, median])[:, None]
                yield Part(target, quantiles, memory)

    blocks = -(-split.windows.horizon // config.block)
    ones = (1.0,) * blocks
    if not folds:
        return Fusion(config.block, (0.5,) * blocks, ones, ones)
    location = fit_location(parts, block=config.block, median=median, shrinkage=config.shrinkage)
    factor = fit_factor(
        parts,
        location,
        block=config.block,
        levels=levels,
        median=median,
        shrinkage=config.shrinkage,
    )
    return Fusion(config.block, location, ones, factor)
