"""What one process of a run hands to another: objects, with mapped files by name."""

import io
import pickle
from collections.abc import Callable
from mmap import mmap
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

_LARGE = 1 << 20  # bytes of an array that is worth a file
_Mapped = tuple[str, str, tuple[int, ...], int]


@runtime_checkable
class Shareable(Protocol):
    """Something large that several processes can read from the same files."""

    def share_files(self, folder: Path) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Write it to a folder that does not exist yet; a function and arguments that read it."""
        ...


class _ByName(pickle.Pickler):
    """Writes an array that is mapped from a file as the file's name and the place in it.

    With a folder, large arrays and what is :class:`Shareable` go to files there, once.
    """

    def __init__(self, buffer: io.BytesIO, folder: Path | None) -> None:
        super().__init__(buffer)
        self._folder = folder
        self._files = 0

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, np.ndarray):
            mapped = _where(obj) or self._write(obj)
            return NotImplemented if mapped is None else (_open, mapped)
        if self._folder is not None and isinstance(obj, Shareable) and not isinstance(obj, type):
            return obj.share_files(self._next(self._folder))
        return NotImplemented

    def _write(self, array: np.ndarray) -> _Mapped | None:
        """Write a large array to a file of its own, and find it there."""
        if self._folder is None or array.nbytes < _LARGE or array.dtype.hasobject:
            return None
        path = self._next(self._folder).with_suffix(".npy")
        np.save(path, np.ascontiguousarray(array))
        return _where(np.load(path, mmap_mode="r", allow_pickle=False))

    def _next(self, folder: Path) -> Path:
        """A name in the folder that is not taken."""
        self._files += 1
        return folder / f"part_{self._files:03d}"


def pack(value: object, *, same_machine: bool, folder: Path | None = None) -> bytes:
    """Turn an object into bytes for another process of the same run.

    Args:
        value: Of importable classes and functions.
        same_machine: Whether the other process sees the same files; mapped arrays are then not
            copied.
        folder: Where large parts are written, so that all processes that see the same files map
            them and share the memory; it must outlive them. ``None`` copies what is not mapped.
    """
    if not same_machine:
        return pickle.dumps(value)
    buffer = io.BytesIO()
    _ByName(buffer, folder).dump(value)
    return buffer.getvalue()


def unpack(data: bytes) -> Any:
    """The object that another process of this run has packed."""
    return pickle.loads(data)


def _where(array: np.ndarray) -> _Mapped | None:
    """File, type, shape and first byte of an array that is part of a mapped file."""
    root: Any = array
    while isinstance(root, np.ndarray) and not (
        isinstance(root, np.memmap) and isinstance(root.base, mmap)
    ):
        root = root.base
    whole = array.flags.c_contiguous and array.size > 0
    if not isinstance(root, np.memmap) or root.mode != "r" or not whole:
        return None  # what may be written to can differ from the file
    assert root.filename is not None
    first = root.offset + array.ctypes.data - root.ctypes.data
    return str(Path(root.filename).absolute()), array.dtype.str, array.shape, first


def _open(path: str, dtype: str, shape: tuple[int, ...], first: int) -> np.ndarray:
    """The same part of the same file."""
    return np.memmap(path, dtype=dtype, mode="r", offset=first, shape=shape)
