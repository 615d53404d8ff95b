"""On which device, and in which numbers, a model computes."""

from typing import Literal

import torch

from tsmemory.backbones.protocol import BackboneError

Dtype = Literal["auto", "float32", "bfloat16"]
DTYPES: tuple[Dtype, ...] = ("auto", "float32", "bfloat16")


def check_device(device: str) -> torch.device:
    """Refuse a device that this machine lacks, before anything is read.

    Args:
        device: Such as ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.

    Returns:
        The device.

    Raises:
        BackboneError: No such device, or not on this machine.
    """
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise BackboneError(f"device {device!r} is not known; use cpu, cuda or mps") from error
    asked = f"device {device!r} was asked for, but"
    if found.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if not count:
            raise BackboneError(f"{asked} there is no CUDA device: use cpu")
        if (found.index or 0) >= count:
            raise BackboneError(f"{asked} there are {count}: use cuda:0 to cuda:{count - 1}")
    if found.type == "mps" and not torch.backends.mps.is_available():
        raise BackboneError(f"{asked} there is none: use cpu")
    return found


def dtype_on(device: torch.device, dtype: Dtype) -> torch.dtype:
    """Type of the weights: ``auto`` is bfloat16 on CUDA, where it is fast, and float32 elsewhere.

    Raises:
        BackboneError: A type that is not offered.
    """
    if dtype not in DTYPES:
        raise BackboneError(f"dtype {dtype!r} is not one of {', '.join(DTYPES)}")
    if dtype == "auto":
        dtype = "bfloat16" if device.type == "cuda" else "float32"
    return torch.bfloat16 if dtype == "bfloat16" else torch.float32
