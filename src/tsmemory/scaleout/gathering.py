"""Results of all shards in one array each: in memory, or in a file where finished shards lie."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tsmemory.fingerprint import digest
from tsmemory.scaleout.config import ShardsConfig
from tsmemory.scaleout.shards import Arrays, ShardCache, map_shards

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Gathered:
    """What the shards of a piece of work hold together.

    Attributes:
        arrays: Results by name, those of the first row first. Shape ``(N, ...)`` each; none where
            there is no row.
        folder: Where each is mapped from, read-only, the file ``NAME.npy``; ``None``: they are in
            memory.
    """

    arrays: dict[str, Float]
    folder: Path | None


def gather_shards(
    work: Callable[[slice], Arrays],
    count: int,
    size: int,
    *,
    key: str,
    cache: ShardCache | None,
    description: str,
    config: ShardsConfig | None = None,
) -> Gathered:
    """Apply a function to rows, a shard at a time, and put what it gives together.

    Args:
        work: Turns a slice of the rows into named arrays with one entry for each of them; see
            :func:`tsmemory.scaleout.shards.map_shards`.
        count: N, the number of rows.
        size: Rows in a shard.
        key: Digest of everything that the results follow from, but for ``size``.
        cache: Where finished shards are kept; ``None`` keeps nothing.
        description: A few words on the work, for the progress bar.
        config: Who works; ``None``: this process.

    Returns:
        The results. With a cache they are mapped from files in it, so that memory does not grow
        with the rows; they have to be used before it goes. Others that see the files can share
        them.
    """
    opened = None if cache is None else cache.open(digest([key, size]))
    folder = None if opened is None else opened.folder
    parts = [slice(first, min(first + size, count)) for first in range(0, count, size)]
    shards = map_shards(work, parts, cache=opened, description=description, config=config)
    arrays: dict[str, Float] = {}
    for part, shard in zip(parts, shards, strict=True):
        for name, values in shard.items():
            if part.start == 0:
                arrays[name] = _room(folder, name, (count, *values.shape[1:]))
            arrays[name][part] = values
    return Gathered({name: _read_only(array) for name, array in arrays.items()}, folder)


def _room(folder: Path | None, name: str, shape: tuple[int, ...]) -> Float:
    """An array to gather results in: in memory, or mapped to a file that is written anew."""
    if folder is None:
        return np.empty(shape, np.float32)
    file = folder / f"{name}.npy"
    file.unlink(missing_ok=True)  # a killed run's, to which a saved artefact may be linked
    return np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=shape)


def _read_only(array: Float) -> Float:
    """The same array; from a file, in such a way that other processes can map it as well."""
    if not isinstance(array, np.memmap):
        return array
    array.flush()
    assert array.filename is not None
    whole: Float = np.load(array.filename, mmap_mode="r", allow_pickle=False)
    return whole
