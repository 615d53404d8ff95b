"""What the frozen backbone says about a split: its keys and quantiles, computed once."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tsmemory.backbones import Backbone
from tsmemory.backbones.answers import answers_key
from tsmemory.fingerprint import digest
from tsmemory.memory.origins import asked_at, window_origins
from tsmemory.scaleout.config import IN_THIS_PROCESS, ShardsConfig
from tsmemory.scaleout.content_cache import ContentCache, link_or_save
from tsmemory.scaleout.gathering import gather_shards
from tsmemory.scaleout.shards import Arrays, ShardCache
from tsmemory.series.series_set import Float, SeriesSet
from tsmemory.series.windows import Windows

_FORMAT = 1  # of the files; what another version of this module has kept is not read
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BackboneForecasts:
    """Embeddings and quantile forecasts of the windows of one split.

    Attributes:
        keys: The backbone's embeddings. Shape ``(N, d)``.
        quantiles: Its quantiles in z units, ascending over levels. Shape ``(N, Q, H)``; mapped from
            disk when loaded, so that only what is asked for is read.
        levels: Quantile levels.
        backbone: The backbone's fingerprint.
        folder: The folder with the files that both are mapped from, where they will never change:
            saving links to them instead of copying them.
    """

    keys: Float
    quantiles: Float
    levels: tuple[float, ...]
    backbone: str
    folder: Path | None = field(default=None, compare=False)

    def __len__(self) -> int:
        return len(self.keys)

    def up_to(self, horizon: int) -> "BackboneForecasts":
        """The first ``horizon`` steps of the same forecasts."""
        return replace(self, quantiles=self.quantiles[:, :, :horizon])

    def summary(self) -> dict[str, Any]:
        """Shapes and origin, for the catalog's preview."""
        return {
            "windows": len(self),
            "key_length": int(self.keys.shape[1]),
            "levels": list(self.levels),
            "horizon": int(self.quantiles.shape[2]),
            "backbone": self.backbone,
        }

    def save_pretrained(self, folder: Path) -> None:
        """Write ``config.json``, ``keys.npy`` and ``quantiles.npy``."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(self.summary()), encoding="utf-8")
        for name, array in (("keys", self.keys), ("quantiles", self.quantiles)):
            source = None if self.folder is None else self.folder / f"{name}.npy"
            link_or_save(array, folder / f"{name}.npy", source=source)

    @classmethod
    def from_pretrained(cls, folder: Path) -> "BackboneForecasts":
        """Map what :meth:`save_pretrained` wrote."""
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return cls(
            keys=np.load(folder / "keys.npy", mmap_mode="r"),
            quantiles=np.load(folder / "quantiles.npy", mmap_mode="r"),
            levels=tuple(config["levels"]),
            backbone=config["backbone"],
        )


def forecast_windows(
    backbone: Backbone,
    windows: Windows,
    series: SeriesSet,
    *,
    shard_size: int,
    cache: ShardCache | None = None,
    answers: ContentCache | None = None,
    settings: Mapping[str, Any] | None = None,
    description: str = "Forecasting",
    sharing: ShardsConfig = IN_THIS_PROCESS,
) -> BackboneForecasts:
    """Ask the frozen backbone about every window, to the longest horizon.

    Forecasts are looked up as a whole, by all contexts of the windows, and not one by one: in other
    batches they are the same but for rounding, so that a mixture of old and new ones would depend
    on the runs before, and two runs with one seed would not be equal to the bit.

    Args:
        backbone: The backbone.
        windows: N windows.
        series: The rows they lie on.
        shard_size: Windows in a shard.
        cache: Where finished shards are kept, so that a killed run goes on where it was.
        answers: Where forecasts are found that an earlier run asked for, and kept for the next one.
        settings: What the backbone was loaded with, as far as its fingerprint does not say it.
        description: Shown beside the progress bar.
        sharing: Who works through the shards; by default this process.

    Returns:
        Keys and quantiles. With ``cache`` or ``answers`` they are mapped from files there, so that
        memory does not grow with the windows; they have to be saved before it goes.

    Raises:
        ValueError: There are no windows.
    """
    if not len(windows):
        raise ValueError("there is no window to forecast")
    key = answers_key(backbone, windows, series, horizon=windows.horizon, settings=settings)
    key = digest({"key": key, "format": _FORMAT})
    entry = None if answers is None else answers.find(key)
    if entry is not None:
        logger.info("%s: all %d are known from an earlier run", description, len(windows))
        return _kept(entry)
    gathered = gather_shards(
        ForecastShard(backbone, windows, series),
        len(windows),
        shard_size,
        key=key,
        cache=cache,
        description=description,
        config=sharing,
    )
    found = BackboneForecasts(
        **gathered.arrays,
        levels=backbone.quantile_levels,
        backbone=backbone.fingerprint,
        folder=gathered.folder,
    )
    return found if answers is None else _kept(answers.store(key, found.save_pretrained))


@dataclass(frozen=True)
class ForecastShard:
    """Asks the backbone about one shard of windows.

    Attributes:
        backbone: The backbone.
        windows: All windows.
        series: The rows they lie on.
    """

    backbone: Backbone
    windows: Windows
    series: SeriesSet

    @property
    def device(self) -> str:
        """Torch device that it computes on."""
        return str(getattr(self.backbone, "device", "cpu"))

    def __call__(self, part: slice) -> Arrays:
        """``keys`` and ``quantiles`` of a part of the windows. Shapes ``(B, d)``, ``(B, Q, H)``."""
        windows = self.windows.take(part)
        origins = window_origins(windows, self.series) if self.backbone.needs_origins else None
        output = self.backbone.encode_and_predict(
            windows.contexts(self.series), windows.horizon, **asked_at(origins)
        )
        return {"keys": output.keys, "quantiles": output.quantiles}


def _kept(entry: Path) -> BackboneForecasts:
    """Map an entry of the cache, whose files never change."""
    return replace(BackboneForecasts.from_pretrained(entry), folder=entry)
