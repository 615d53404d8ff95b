"""What the frozen backbone says about a split: its keys and quantiles, computed once."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tsmemory.backbones import Backbone
from tsmemory.fingerprint import digest
from tsmemory.scaleout.shards import OpenShardCache, ShardCache, map_shards
from tsmemory.series.series_set import Float, SeriesSet
from tsmemory.series.windows import Windows


@dataclass(frozen=True)
class BackboneForecasts:
    """Embeddings and quantile forecasts of the windows of one split.

    Attributes:
        keys: The backbone's embeddings. Shape ``(N, d)``.
        quantiles: Its quantiles in z units, ascending over levels. Shape ``(N, Q, H)``; mapped from
            disk when loaded, so that only what is asked for is read.
        levels: Quantile levels.
        backbone: The backbone's fingerprint.
    """

    keys: Float
    quantiles: Float
    levels: tuple[float, ...]
    backbone: str

    def __len__(self) -> int:
        return len(self.keys)

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
        np.save(folder / "quantiles.npy", self.quantiles)

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
    description: str = "Forecasting",
) -> BackboneForecasts:
    """Ask the frozen backbone about every window, to the longest horizon.

    Args:
        backbone: The backbone.
        windows: N windows.
        series: The rows they lie on.
        shard_size: Windows in a shard.
        cache: Where finished shards are kept, so that a killed run goes on where it was.
        description: Shown beside the progress bar.

    Returns:
        Keys and quantiles. With a cache the quantiles are gathered in a file beside the shards, so
        that memory does not grow with the windows; they have to be saved before it is cleared.
    """
    firsts = list(range(0, len(windows), shard_size))

    def forecast_shard(first: int) -> dict[str, np.ndarray]:
        part = windows.take(slice(first, first + shard_size))
        output = backbone.encode_and_predict(part.contexts(series), windows.horizon)
        return {"keys": output.keys, "quantiles": output.quantiles}

    opened = None
    if cache:
        settings = {
            "backbone": backbone.fingerprint,
            "device": getattr(backbone, "device", None),
            "windows": windows.fingerprint(series),
            "shard_size": shard_size,
        }
        opened = cache.open(digest(settings))
    keys, quantiles = None, None
    shards = map_shards(forecast_shard, firsts, cache=opened, description=description)
    for first, shard in zip(firsts, shards, strict=True):
        if keys is None or quantiles is None:
            keys = np.empty((len(windows), *shard["keys"].shape[1:]), np.float32)
            quantiles = _room(opened, (len(windows), *shard["quantiles"].shape[1:]))
        keys[first : first + shard_size] = shard["keys"]
        quantiles[first : first + shard_size] = shard["quantiles"]
    if keys is None or quantiles is None:
        raise ValueError("there is no window to forecast")
    return BackboneForecasts(keys, quantiles, backbone.quantile_levels, backbone.fingerprint)


def _room(opened: OpenShardCache | None, shape: tuple[int, ...]) -> Float:
    """An array to gather results in: in memory, or mapped to a file beside the shards."""
    if opened is None:
        return np.empty(shape, np.float32)
    path = opened.folder / "gathered.npy"
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
