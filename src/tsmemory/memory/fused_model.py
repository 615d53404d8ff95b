"""A frozen backbone, its memory adapter and their fusion: arrays in, quantiles out."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from tsmemory.backbones import Backbone
from tsmemory.backbones.levels import check_levels
from tsmemory.memory.contexts import Contexts, check_contexts, stack_contexts
from tsmemory.memory.errors import ForecasterError
from tsmemory.memory.fusion import Fusion
from tsmemory.memory.known_series import KnownSeries
from tsmemory.memory.origins import check_origins, refuse_bare_contexts
from tsmemory.memory.parts import QUANTILE_LEVELS, check_parts
from tsmemory.memory.passes import Asked, forecast_batches
from tsmemory.memory.profiles import Adapter, config_to_json
from tsmemory.memory.shares import share_table
from tsmemory.series.series_set import Float


class FusedModel:
    """A frozen backbone with the memory of one domain.

    Nothing is retrieved when forecasting, and nothing changes: one model may be used from several
    threads. Values are taken and returned in the user's own unit.

    Attributes:
        backbone: The frozen backbone.
        adapter: The memory adapter; a copy of the one given.
        fusion: How both are fused.
        series: The series that the memory was made from.
        backbone_source: What :func:`tsmemory.load_backbone` makes the backbone from.
        backbone_options: Its options.
        domain: Name of the dataset that the memory was made from.
        provenance: What ``fit`` has made the memory from, in plain values; empty where a run of the
            pipelines has, whose manifest tells it.
    """

    def __init__(
        self,
        backbone: Backbone,
        adapter: Adapter,
        fusion: Fusion,
        series: KnownSeries,
        *,
        backbone_source: str,
        domain: str | None,
        backbone_options: Mapping[str, Any] | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            backbone: The frozen backbone.
            adapter: A memory adapter made for it.
            fusion: Weights for every block of the adapter's horizon.
            series: The series that the memory was made from.
            backbone_source: ``"bundled"``, ``"seasonal_naive"``, a folder or a hub id.
            domain: Name of the dataset that the memory was made from.
            backbone_options: Further arguments of ``load_backbone`` (``kind``, ``season``, ...).
            provenance: What the memory was made from, in plain values.

        Raises:
            ForecasterError: The parts do not fit each other.
        """
        check_parts(backbone, adapter.config, fusion)
        self.backbone = backbone
        self.adapter = copy.deepcopy(adapter).eval().requires_grad_(False)
        self.fusion = fusion
        self.series = series
        self.backbone_source = str(backbone_source)
        self.backbone_options = dict(backbone_options or {})
        self.domain = domain
        self.provenance = dict(provenance or {})

    def predict_quantiles(
        self,
        contexts: Contexts,
        prediction_length: int | None = None,
        quantile_levels: Sequence[float] = QUANTILE_LEVELS,
        *,
        batch_size: int = 256,
        channels: Sequence[str] | None = None,
        items: Sequence[str] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Forecast series.

        Args:
            contexts: A series ``(T,)``, several ``(B, T)``, or a list of series of different
                lengths, torch or numpy; NaN where missing. The last L steps are read; a shorter
                series counts as missing before its start.
            prediction_length: H, steps to forecast; the adapter's longest horizon if not given.
                The frozen backbone's own forecast stands beyond the adapter's horizon.
            quantile_levels: Levels; interpolated between those of the backbone, the outermost ones
                standing in outside them.
            batch_size: Series in one pass; the answer does not depend on it.
            channels: Name of the column that each series comes from. The memory knows the levels of
                the series that it was made from and may have weights of its own for a column; a
                series without a name is forecast as a new one.
            items: Identifier of the series that each comes from; needed beside ``channels`` if the
                memory was made from several.

        Returns:
            Quantiles, shape ``(B, H, len(quantile_levels))``, and the median, shape ``(B, H)``;
            float32 on the CPU.

        Raises:
            ForecasterError: A series without observed value or with an infinite one, a horizon
                below 1, a level outside (0, 1), another number of channels than of series, a
                backbone that looks its forecasts up.
        """
        refuse_bare_contexts(self.backbone)
        horizon = self._horizon(prediction_length)
        levels = self._levels(quantile_levels)
        stacked = stack_contexts(contexts, self.adapter.config.context_length)
        for what, given in (("channels", channels), ("items", items)):
            if given is not None and len(given) != len(stacked):
                raise ForecasterError(f"{len(given)} {what} for {len(stacked)} series")
        names = [None if n is None else np.array(n, dtype=str) for n in (items, channels)]
        quantiles, median = self._forecast(
            Asked(stacked, None, *names),
            horizon,
            levels,
            batch_size,
            lambda position: f"context {position}",
        )
        return torch.from_numpy(quantiles), torch.from_numpy(median)

    def report(self) -> pd.DataFrame:
        """What the guard decided, and what the forecasts are mixed from, by horizon block.

        Returns:
            Table ``first_step, last_step, decision, skill, p_value``; shares of the median
            ``backbone, memory, last_value, seasonal_naive, long_run``; shares of the spread
            ``width_backbone, width_memory, width_residuals``. ``decision`` is ``fused`` where
            validation shows a gain, else ``frozen``; ``skill`` is that gain, in pinball loss
            against the frozen backbone. Shares are those of columns without their own.
        """
        return share_table(self.fusion)

    def __repr__(self) -> str:
        config = self.adapter.config
        return (
            f"{type(self).__name__}(domain={self.domain!r}, backbone={self.backbone.name!r}, "
            f"context_length={config.context_length}, horizon={config.horizon}): "
            f"{self.fusion.describe()}"
        )

    def summary(self) -> dict[str, Any]:
        """Parts and sizes, for the catalog's preview."""
        fusion = self.fusion.to_json()
        return {
            "domain": self.domain,
            "backbone": {
                "source": self.backbone_source,
                "name": self.backbone.name,
                "fingerprint": self.backbone.fingerprint,
                "native_horizon": self.backbone.native_horizon,
            },
            "adapter": self.adapter.describe(),
            "fusion": {name: fusion[name] for name in ("block", "location", "spread", "factor")},
            "shares": self.fusion.explain(),
            "idle": self.fusion.is_idle,
            "known_series": len(self.series.mean),
        }

    def _config(self) -> dict[str, Any]:
        """What is kept beside the weights."""
        backbone = self.backbone
        config = {
            "domain": self.domain,
            "backbone": {
                "source": self.backbone_source,
                "options": self.backbone_options,
                "name": backbone.name,
                "fingerprint": backbone.fingerprint,
                "quantile_levels": list(backbone.quantile_levels),
                "native_horizon": backbone.native_horizon,
            },
            "adapter": config_to_json(self.adapter.config),
            "fusion": self.fusion.to_json(),
            "series": self.series.to_json(),
        }
        return {**config, "provenance": self.provenance} if self.provenance else config

    def _horizon(self, prediction_length: int | None) -> int:
        horizon = self.adapter.config.horizon if prediction_length is None else prediction_length
        return whole_steps("prediction_length", horizon)

    def _levels(self, quantile_levels: Sequence[float]) -> tuple[float, ...]:
        return check_levels(quantile_levels, self.backbone.quantile_levels, ForecasterError)

    def _forecast(
        self,
        asked: Asked,
        horizon: int,
        levels: tuple[float, ...],
        batch_size: int,
        label: Callable[[int], str],
    ) -> tuple[Float, Float]:
        """Quantiles ``(B, H, len(levels))`` and median ``(B, H)`` of contexts ``(B, L)``."""
        self._check(asked, horizon, batch_size, label)
        return forecast_batches(
            self.backbone,
            self.adapter,
            self.fusion,
            asked,
            self.series,
            horizon=horizon,
            levels=levels,
            batch_size=batch_size,
        )

    def _check(
        self, asked: Asked, horizon: int, batch_size: int, label: Callable[[int], str]
    ) -> None:
        """Refuse what cannot be forecast."""
        whole_steps("batch_size", batch_size)
        check_contexts(asked.contexts, label)
        if asked.origins is not None:
            check_origins(self.backbone, asked.origins, horizon)


def whole_steps(name: str, value: object) -> int:
    """A whole number of at least 1.

    Args:
        name: What messages call it.
        value: What was given.

    Raises:
        ForecasterError: Something else.
    """
    if not isinstance(value, (int, float, np.number)) or int(value) != value or value < 1:
        raise ForecasterError(f"{name} must be a whole number >= 1, got {value!r}")
    return int(value)
