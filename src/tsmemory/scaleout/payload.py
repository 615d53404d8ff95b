"""What one process of a run hands to another: objects, with mapped files by name."""

import io
import pickle
from mmap import mmap
from pathlib import Path
from typing import Any

import numpy as np

_Mapped = tuple[str, str, tuple[int, ...], int]


class _ByName(pickle.Pickler):
    """Writes an array that is mapped from a file as the file's name and the place in it."""

    def reducer_override(self, obj: Any) -> Any:
        mapped = _where(obj) if isinstance(obj, np.ndarray) else None
        return NotImplemented if mapped is None else (_open, mapped)


def pack(value: object, *, same_machine: bool) -> bytes:
    """Turn an object into bytes for another process of the same run.

    Args:
        value: Of importable classes and functions.
        same_machine: Whether the other process sees the same files; mapped arrays are then not
            copied.
    """
    if not same_machine:
        return pickle.dumps(value)
    buffer = io.BytesIO()
    _ByName(buffer).dump(value)
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
