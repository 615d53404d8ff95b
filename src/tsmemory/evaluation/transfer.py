"""A memory of another domain on this one: what it costs, and whether the guard keeps it away.

Nothing of the backbone is forgotten, since it stays frozen: what a memory can lose is what fusing
it loses. So it is judged as it was exported, with weights that its own domain chose, and with
weights that this domain's validation chose and guarded (METHOD 1.7 and 1.8).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from tsmemory.errors import UserError
from tsmemory.evaluation.ablation import VALUES
from tsmemory.evaluation.leaderboard import REFERENCE, SKILL_METRICS, Origins
from tsmemory.evaluation.methods import Fused, Method, frozen
from tsmemory.evaluation.scores import MethodScores
from tsmemory.memory.artefact import read_artefact
from tsmemory.memory.config import FusionConfig
from tsmemory.memory.forecasts import BackboneForecasts
from tsmemory.memory.fusion import Fusion
from tsmemory.memory.fusion_fit import fit_fusion
from tsmemory.memory.known_series import KnownSeries
from tsmemory.memory.parts import read_memory
from tsmemory.memory.profiles import Adapter
from tsmemory.memory.split import Split, memory_parts
from tsmemory.metrics import season_length
from tsmemory.series.series_set import Float

LARGEST_LOSS = 0.01  # against the frozen backbone, that a guarded memory may have
HOW_TO_GIVE = (
    "no forecaster of another domain was given: run the main way for other domains, then give "
    "their folders, as in --params "
    '"benchmark.transfer.forecasters=data/06_models/<domain>/forecaster"'
)
_COLUMNS = ("source", "row", "horizon", *VALUES)
_SKILLS = ("skill", "low", "high")


@dataclass(frozen=True)
class ForeignMemory:
    """The memory of another domain.

    Attributes:
        domain: Its domain.
        adapter: Its adapter.
        fusion: Fusion weights that its own domain chose.
        series: The series that it knows; none of this domain's.
    """

    domain: str
    adapter: Adapter
    fusion: Fusion
    series: KnownSeries


@dataclass(frozen=True)
class OnNewSeries:
    """The memory on series that it does not know, as its forecaster would use it.

    Attributes:
        memory: The memory.
        fusion: Its fusion with the backbone; ``None`` leaves the memory alone.
    """

    memory: ForeignMemory
    fusion: Fusion | None

    @torch.inference_mode()
    def __call__(self, split: Split) -> Float:
        """Quantiles in the unit of the windows. Shape ``(B, Q, H)``."""
        contexts, _, quantiles, keys = split.tensors()
        unit, adapter = self.memory.series.unit(contexts.numpy()), self.memory.adapter
        near, backbone = (
            torch.from_numpy(unit.reduce(values.numpy())) for values in (contexts, quantiles)
        )
        found = adapter(near, backbone, keys)
        if self.fusion is not None:
            median = adapter.config.median
            found = self.fusion.apply(backbone, found, median, near, split.channels())
        return unit.restore(found.numpy())


def read_foreign(
    folder: str, forecasts: BackboneForecasts, *, context_length: int, shortest: int
) -> ForeignMemory:
    """Read an exported forecaster's memory, without its backbone.

    Args:
        folder: The exported forecaster.
        forecasts: This domain's, of the backbone that the memory has to be made for.
        context_length: L of this domain.
        shortest: This domain's shortest horizon.

    Returns:
        The memory.

    Raises:
        UserError: Nothing there or damaged; or made for another backbone, other levels, another
            context length or horizons that are all shorter.
    """
    config, state = read_artefact(folder)
    adapter, fusion, series = read_memory(config, state)
    sizes, about = adapter.config, config["backbone"]
    problems = []
    if about["fingerprint"] != forecasts.backbone:
        problems.append(
            f"it was made for the backbone {about['name']!r} with fingerprint "
            f"{about['fingerprint']}, this domain's has {forecasts.backbone}"
        )
    if tuple(sizes.quantile_levels) != tuple(forecasts.levels):
        problems.append(
            f"its quantile levels are {list(sizes.quantile_levels)}, this domain's are "
            f"{list(forecasts.levels)} (backbone.quantile_levels)"
        )
    if sizes.context_length != context_length:
        problems.append(
            f"its contexts have {sizes.context_length} steps, this domain's {context_length} "
            f"(windowing.context_length)"
        )
    if sizes.horizon < shortest:
        problems.append(
            f"it corrects {sizes.horizon} steps, and this domain's shortest horizon is {shortest} "
            f"(windowing.horizons)"
        )
    if problems:
        raise UserError(
            f"the forecaster in {folder} cannot be tried here (benchmark.transfer.forecasters): "
            + "; ".join(problems)
        )
    domain = str(config.get("domain") or Path(folder).parent.name)
    return ForeignMemory(domain, adapter, fusion, series)


def refit(
    memory: ForeignMemory,
    validation: Split,
    *,
    stride: int,
    config: FusionConfig,
    rng: np.random.Generator,
) -> Fusion:
    """Choose and guard the fusion of a foreign memory on this domain's validation.

    Its adapter stays as it is, and validation alone speaks: what this domain's training windows
    say is of a memory of this domain.

    Args:
        memory: The memory.
        validation: Validation windows, no longer than the memory reaches.
        stride: Steps between consecutive origins.
        config: Blocks, candidates and guard.
        rng: Draws the bootstrap.

    Returns:
        The fusion.
    """
    windows, series = validation.windows, validation.series
    return fit_fusion(
        memory_parts(validation, memory.adapter),
        windows.calendar(series) + windows.context_length,
        levels=validation.forecasts.levels,
        horizon=windows.horizon,
        stride=stride,
        config=config,
        rng=rng,
        season=season_length(series.freq),
    )


def transfer_methods(memory: ForeignMemory, refitted: Fusion) -> dict[str, list[Method]]:
    """The rows of one foreign memory.

    Args:
        memory: The memory.
        refitted: Fusion weights that this domain's validation chose and guarded.

    Returns:
        ``frozen``; the memory ``alone``; ``as_exported``, with its own weights; ``reguarded``.
    """
    return {
        REFERENCE: [frozen],
        "alone": [OnNewSeries(memory, None)],
        "as_exported": [OnNewSeries(memory, memory.fusion)],
        "reguarded": [Fused(memory.adapter, refitted)],
    }


def tabulate_transfer(
    scores: Sequence[tuple[ForeignMemory, Fusion, MethodScores]],
    *,
    samples: int,
    level: float,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """One line for each foreign memory, row and horizon.

    Args:
        scores: Of each memory its refitted fusion and the scores of :func:`transfer_methods`.
        samples: Bootstrap samples.
        level: Probability of the intervals.
        rng: Draws the bootstrap.

    Returns:
        Table ``source, row, horizon, mse, mae, crps, coverage_80, skill, low, high``, the last
        three of CRPS against the frozen backbone; ``largest_loss``, the largest share by which any
        of MSE, MAE and CRPS exceeds the frozen backbone's, and whether it is ``within_1_percent``;
        ``memory_weight`` in the median, of the mean block; ``note``. A single line that says what
        to give where there is no memory.
    """
    lines = [
        line
        for memory, refitted, found in scores
        for line in _lines(memory, refitted, found, samples, level, rng)
    ]
    if not lines:
        empty = dict.fromkeys([*_COLUMNS, *_SKILLS, "largest_loss", "within_1_percent"])
        return pd.DataFrame(
            [{**empty, "row": "not run", "memory_weight": None, "note": HOW_TO_GIVE}]
        )
    return pd.DataFrame(lines)


def _lines(
    memory: ForeignMemory,
    refitted: Fusion,
    scores: MethodScores,
    samples: int,
    level: float,
    rng: np.random.Generator,
) -> list[dict[str, Any]]:
    weights: Mapping[str, float] = {
        REFERENCE: 0.0,
        "alone": 1.0,
        "as_exported": float(np.mean(memory.fusion.location)),
        "reguarded": float(np.mean(refitted.location)),
    }
    notes = {
        REFERENCE: "the backbone as it is",
        "alone": "the memory without the backbone's forecast",
        "as_exported": "fused as its own domain chose",
        "reguarded": f"fused as this domain's validation chose: {refitted.describe()}",
    }
    lines = []
    for number, horizon in enumerate(scores.horizons):
        origins = Origins.draw(scores, number, samples, rng)
        reference = scores.methods[REFERENCE].metrics(number)
        for row, windows in scores.methods.items():
            values = windows.metrics(number)
            skill = (float("nan"),) * 3
            if row != REFERENCE:
                skill = origins.skill(scores, row, REFERENCE, "crps", level)
            loss = max(values[name] / reference[name] - 1 for name in SKILL_METRICS)
            lines.append(
                {
                    "source": memory.domain,
                    "row": row,
                    "horizon": horizon,
                    **{name: values[name] for name in VALUES},
                    **dict(zip(_SKILLS, skill, strict=True)),
                    "largest_loss": loss,
                    "within_1_percent": bool(loss < LARGEST_LOSS),
                    "memory_weight": weights[row],
                    "note": notes[row],
                }
            )
    return lines
