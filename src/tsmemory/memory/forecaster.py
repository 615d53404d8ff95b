"""The forecaster: a frozen backbone, its memory adapter and their fusion, behind one call."""

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from tsmemory.backbones import Backbone
from tsmemory.backbones.levels import check_levels
from tsmemory.memory.artefact import read_artefact, write_artefact
from tsmemory.memory.contexts import Contexts, check_contexts, stack_contexts
from tsmemory.memory.errors import ForecasterError
from tsmemory.memory.frames import read_frame
from tsmemory.memory.fusion import Fusion
from tsmemory.memory.known_series import KnownSeries
from tsmemory.memory.origins import check_origins, refuse_bare_contexts
from tsmemory.memory.parts import check_parts, read_backbone, read_memory
from tsmemory.memory.passes import Asked, forecast_batches
from tsmemory.memory.profiles import Adapter, config_to_json
from tsmemory.series.series_set import Float

QUANTILE_LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


class MemoryForecaster:
    """Forecasts with a frozen backbone and the memory of one domain.

    Nothing is retrieved when forecasting, and nothing changes: one forecaster may be used from
    several threads. Values are taken and returned in the user's own unit.

    Example:
        >>> forecaster = MemoryForecaster.from_pretrained("data/06_models/my_domain/forecaster")
        >>> table = forecaster.predict_df(df, prediction_length=24)

    Attributes:
        backbone: The frozen backbone.
        adapter: The memory adapter; a copy of the one given.
        fusion: How both are fused.
        series: The series that the memory was made from.
        backbone_source: What :func:`tsmemory.load_backbone` makes the backbone from.
        backbone_options: Its options.
        domain: Name of the dataset that the memory was made from.
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
        levels = check_levels(quantile_levels, self.backbone.quantile_levels, ForecasterError)
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

    def predict_df(
        self,
        df: pd.DataFrame,
        *,
        id_column: str = "item_id",
        timestamp_column: str = "timestamp",
        target: str | Sequence[str] = "target",
        prediction_length: int | None = None,
        quantile_levels: Sequence[float] = QUANTILE_LEVELS,
        batch_size: int = 256,
        freq: str | None = None,
    ) -> pd.DataFrame:
        """Forecast the series of a long table, as chronos-forecasting's ``predict_df`` does.

        Args:
            df: The table, rows in any order; other columns are ignored.
            id_column: Column of identifiers. A table without the default one is a single series,
                which the answer calls ``series``.
            timestamp_column: Column of timestamps, with or without a zone.
            target: Column to forecast, or several, each forecast on its own, with the weights that
                the memory has for a column of that name.
            prediction_length: H, steps to forecast; the adapter's longest horizon if not given.
            quantile_levels: See :meth:`predict_quantiles`.
            batch_size: Series in one pass; the answer does not depend on it.
            freq: The step of all series; rows then count as consecutive steps whatever their
                timestamps. If not given it is inferred, and rows that lack become missing steps.

        Returns:
            Table ``<id>, <timestamp>, target_name, predictions`` (the median) and one column for
            each level, ordered by series (as they first appear), target and step.

        Raises:
            ForecasterError: As :meth:`predict_quantiles`, and for missing columns, unreadable
                values, duplicate or irregular timestamps.
        """
        horizon = self._horizon(prediction_length)
        levels = check_levels(quantile_levels, self.backbone.quantile_levels, ForecasterError)
        length = self.adapter.config.context_length
        series = read_frame(
            df,
            id_column=id_column,
            timestamp_column=timestamp_column,
            targets=[target] if isinstance(target, str) else list(target),
            context_length=length,
            freq=freq,
        )
        asked = Asked(
            series.contexts.reshape(-1, length),
            origins=series.origins() if self.backbone.needs_origins else None,
            items=series.items(),
            channels=np.tile(series.targets, len(series.item_id)),
        )
        forecast = self._forecast(asked, horizon, levels, batch_size, series.label)
        return series.answer(*forecast, quantile_levels)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``config.json`` and ``model.safetensors``; the backbone is named, not copied."""
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
        write_artefact(Path(folder), config, self.adapter.state_dict())

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        backbone: Backbone | str | Path | None = None,
        device: str = "cpu",
    ) -> "MemoryForecaster":
        """Load what :meth:`save_pretrained` wrote.

        Args:
            source: The folder, a Kedro-versioned folder (its latest version), or a hub id.
            backbone: The backbone, or where to load it from; that which the forecaster names if
                not given.
            device: Torch device of the adapter and of a backbone that is loaded here.

        Returns:
            The forecaster.

        Raises:
            ForecasterError: Files that are missing, truncated, changed or of another format
                version; a backbone that cannot be loaded or is not the one it was made for.
        """
        config, state = read_artefact(source)
        adapter, fusion, series = read_memory(config, state)
        about = config["backbone"]
        return cls(
            read_backbone(about, backbone, device),
            adapter.to(device),
            fusion,
            series,
            backbone_source=str(backbone) if isinstance(backbone, (str, Path)) else about["source"],
            domain=config["domain"],
            backbone_options=about["options"],
        )

    def __repr__(self) -> str:
        config = self.adapter.config
        return (
            f"MemoryForecaster(domain={self.domain!r}, backbone={self.backbone.name!r}, "
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

    def _horizon(self, prediction_length: int | None) -> int:
        horizon = self.adapter.config.horizon if prediction_length is None else prediction_length
        if int(horizon) != horizon or horizon < 1:
            raise ForecasterError(f"prediction_length must be a whole number >= 1, got {horizon}")
        return int(horizon)

    def _forecast(
        self,
        asked: Asked,
        horizon: int,
        levels: tuple[float, ...],
        batch_size: int,
        label: Callable[[int], str],
    ) -> tuple[Float, Float]:
        """Quantiles ``(B, H, len(levels))`` and median ``(B, H)`` of contexts ``(B, L)``."""
        if batch_size < 1:
            raise ForecasterError(f"batch_size must be at least 1, got {batch_size}")
        check_contexts(asked.contexts, label)
        if asked.origins is not None:
            check_origins(self.backbone, asked.origins, horizon)
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
