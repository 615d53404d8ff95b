"""Contexts as a user hands them over: any length, numpy or torch, made one array for the models."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tsmemory.memory.errors import ForecasterError
from tsmemory.series.errors import first_of

logger = logging.getLogger(__name__)

Contexts = torch.Tensor | NDArray[Any] | Sequence[torch.Tensor | NDArray[Any]]
Real = NDArray[np.float32] | NDArray[np.float64]

_LARGEST = float(np.finfo(np.float32).max)


def stack_contexts(contexts: Contexts, length: int) -> Real:
    """Put series of any length into one array, as a backbone reads them.

    Args:
        contexts: One series ``(T,)``, several of one length ``(B, T)``, or a sequence of series of
            different lengths; NaN where missing.
        length: L, steps to keep.

    Returns:
        The last L steps of each series, NaN before the first; float64 unless the series are of
        single precision or less. Shape ``(B, L)``.

    Raises:
        ForecasterError: No series at all, or something that is not a series.
    """
    if isinstance(contexts, (torch.Tensor, np.ndarray)):
        array = _as_array(contexts)
        if array.ndim not in (1, 2):
            raise ForecasterError(f"contexts must be (T,) or (B, T), got shape {array.shape}")
        stacked: Real = array[None] if array.ndim == 1 else array
        stacked = stacked[:, -length:]
        if missing := length - stacked.shape[1]:
            before = np.full((len(stacked), missing), np.nan, dtype=stacked.dtype)
            stacked = np.concatenate([before, stacked], axis=1)
    else:
        stacked = _stack_rows([_as_array(series) for series in contexts], length)
    if len(stacked) == 0:
        raise ForecasterError("there is no context to forecast")
    return stacked


def _stack_rows(rows: list[Real], length: int) -> Real:
    """The last steps of series of different lengths, one below the other."""
    precision = np.result_type(np.float32, *rows)
    stacked: Real = np.full((len(rows), length), np.nan, dtype=precision)
    for position, (target, row) in enumerate(zip(stacked, rows, strict=True)):
        if row.ndim != 1:
            raise ForecasterError(
                f"context {position} of the list must be a series (T,), got shape {row.shape}"
            )
        target[length - min(length, len(row)) :] = row[-length:]
    return stacked


def check_contexts(contexts: Real, label: Callable[[int], str]) -> None:
    """Refuse contexts that cannot be forecast, and flag in the log those that are not whole.

    Args:
        contexts: NaN where missing. Shape ``(B, L)``.
        label: What a message calls the context at a position.

    Raises:
        ForecasterError: A context without any observed value, or with an infinite one.
    """
    if np.isfinite(contexts).all():
        return
    infinite = np.flatnonzero(np.isinf(contexts).any(axis=1))
    if len(infinite):
        names = first_of((label(int(i)) for i in infinite), len(infinite))
        raise ForecasterError(f"infinite values in {names}; make them NaN if they are missing")
    length = contexts.shape[1]
    observed = length - np.isnan(contexts).sum(axis=1)
    empty = np.flatnonzero(observed == 0)
    if len(empty):
        names = first_of((label(int(i)) for i in empty), len(empty))
        raise ForecasterError(f"no observed value in the last {length} steps of {names}")
    partial = np.flatnonzero(observed < length)
    if len(partial):
        logger.warning(
            "%d of %d contexts are not whole, their forecasts are less certain than they look: %s",
            len(partial),
            len(contexts),
            first_of(
                (f"{label(int(i))} has {observed[i]} of {length} steps" for i in partial),
                len(partial),
            ),
        )


def representable(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values beyond single precision as infinite, so that they are refused as such."""
    return np.where(np.abs(values) > _LARGEST, np.inf, values)


def _as_array(series: torch.Tensor | NDArray[Any]) -> Real:
    """A series on the CPU, in single precision if it has no more."""
    if isinstance(series, torch.Tensor):
        single = series.is_floating_point() and series.dtype != torch.float64
        kind = torch.float32 if single else torch.float64
        array = series.detach().to("cpu", kind).numpy()
    else:
        array = np.asarray(series)
    if array.dtype in (np.float16, np.float32):
        return np.asarray(array, dtype=np.float32)
    return representable(array.astype(np.float64))
