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
from tsmemory.scaleout.config import ShardsConfig
from tsmemory.scaleout.content_cache import ContentCache, link_or_save
from tsmemory.scaleout.shards import Arrays, OpenShardCache, ShardCache, map_shards, room_for
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
        file: The file that ``quantiles`` is mapped from, where it will never change: saving links
            to it instead of copying it.
    """

    keys: Float
    quantiles: Float
    levels: tuple[float, ...]
    backbone: str
    file: Path | None = field(default=None, compare=False)

    def __len__(self) -> int:
        return len(self.keys)

    def up_to(self, horizon: int) -> "BackboneForecasts":
        """The first ``horizon`` steps of the same forecasts."""
        return replace(self, quantiles=self.quantiles[:, :, :horizon], file=None)

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
        np.save(folder / "keys.npy", self.keys)
        link_or_save(self.quantiles, folder / "quantiles.npy", source=self.file)

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
    sharing: ShardsConfig | None = None,
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
        sharing: Who works through the shards; ``None``: this process.

    Returns:
        Keys and quantiles. With ``cache`` or ``answers`` they are mapped from files
        there, so that memory does not grow with the windows; they have to be saved before it goes.

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
    opened = None if cache is None else cache.open(digest([key, shard_size]))
    work = ForecastShard(backbone, windows, series, shard_size)
    found = _forecast_shards(work, opened, description, sharing)
    return found if answers is None else _kept(answers.store(key, found.save_pretrained))


@dataclass(frozen=True)
class ForecastShard:
    """Asks the backbone about one shard of windows.

    Attributes:
        backbone: The backbone.
        windows: All windows.
        series: The rows they lie on.
        size: Windows in a shard.
    """

    backbone: Backbone
    windows: Windows
    series: SeriesSet
    size: int

    def __call__(self, first: int) -> Arrays:
        """``keys`` and ``quantiles`` of the windows from ``first`` on."""
        part = self.windows.take(slice(first, first + self.size))
        origins = window_origins(part, self.series) if self.backbone.needs_origins else None
        output = self.backbone.encode_and_predict(
            part.contexts(self.series), part.horizon, **asked_at(origins)
        )
        return {"keys": output.keys, "quantiles": output.quantiles}


def _forecast_shards(
    work: ForecastShard,
    opened: OpenShardCache | None,
    description: str,
    sharing: ShardsConfig | None,
) -> BackboneForecasts:
    """Forecasts shard by shard; with a cache, gathered in a file beside the shards."""
    backbone, count, size = work.backbone, len(work.windows), work.size
    firsts = range(0, count, size)
    file, keys_file = (
        None if opened is None else opened.folder / name for name in ("gathered.npy", "keys.npy")
    )
    keys, quantiles = np.empty(0, np.float32), np.empty(0, np.float32)
    shards = map_shards(work, firsts, cache=opened, description=description, config=sharing)
    for first, shard in zip(firsts, shards, strict=True):
        if first == 0:
            keys = room_for(keys_file, (count, *shard["keys"].shape[1:]))
            quantiles = room_for(file, (count, *shard["quantiles"].shape[1:]))
        keys[first : first + size] = shard["keys"]
        quantiles[first : first + size] = shard["quantiles"]
    for array in (keys, quantiles):
        if isinstance(array, np.memmap):
            array.flush()
    return BackboneForecasts(keys, quantiles, backbone.quantile_levels, backbone.fingerprint, file)


def _kept(entry: Path) -> BackboneForecasts:
    """Map an entry of the cache, whose files never change."""
    return replace(BackboneForecasts.from_pretrained(entry), file=entry / "quantiles.npy")
