"""Results of all shards in one array each: in memory, or in a file where finished shards lie."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from tsmemory.fingerprint import digest
from tsmemory.scaleout.config import IN_THIS_PROCESS, ShardsConfig
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
    config: ShardsConfig = IN_THIS_PROCESS,
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
        config: Who works; by default this process.

    Returns:
        The results. With a cache they are mapped from files in it, so that memory does not grow
        with the rows; they have to be used before it goes. Others that see the files can share
        them.
    """
    opened = None if cache is None else cache.open(digest([key, size]))
    folder = None if opened is None else opened.folder
    parts = [slice(first, min(first + size, count)) for first in range(0, count, size)]
    shards = map_shards(work, parts, cache=opened, description=description, config=config)
    if folder is None:
        return Gathered(_in_memory(parts, shards, count), None)
    return Gathered(_in_files(shards, count, folder), folder)


def _in_memory(parts: Sequence[slice], shards: Iterable[Arrays], count: int) -> dict[str, Float]:
    arrays: dict[str, Float] = {}
    for part, shard in zip(parts, shards, strict=True):
        for name, values in shard.items():
            if part.start == 0:
                arrays[name] = np.empty((count, *values.shape[1:]), np.float32)
            arrays[name][part] = values
    return arrays


def _in_files(shards: Iterable[Arrays], count: int, folder: Path) -> dict[str, Float]:
    """Written one after the other, not mapped: what is mapped counts as memory while it is."""
    files: dict[str, BinaryIO] = {}
    with ExitStack() as stack:
        for shard in shards:
            for name, values in shard.items():
                if name not in files:
                    path = _file(folder, name)
                    path.unlink(missing_ok=True)  # an artefact may be linked to a killed run's
                    files[name] = stack.enter_context(path.open("wb"))
                    _write_header(files[name], (count, *values.shape[1:]))
                files[name].write(np.ascontiguousarray(values, np.float32).data)
    return {name: np.load(_file(folder, name), mmap_mode="r", allow_pickle=False) for name in files}


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.npy"


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    about = {"descr": np.dtype(np.float32).str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, about)
