"""What a run was made with: processor or GPU, and library versions."""

import platform
from pathlib import Path

import torch

from tsmemory.fingerprint import installed_versions

_PACKAGES = ("chronos-forecasting", "numpy", "torch", "transformers", "tsmemory")


def describe_hardware(device: str, ranks: int = 1) -> str:
    """Name what computes: the GPU, or the processor with the number of threads in use.

    Args:
        device: Torch device.
        ranks: How many of them train together.
    """
    chosen, times = torch.device(device), f"{ranks} x " if ranks > 1 else ""
    if chosen.type == "cuda":
        return times + str(torch.cuda.get_device_name(chosen))
    threads = torch.get_num_threads()
    return f"{times}{_processor()}, {threads} thread{'s' if threads > 1 else ''}"


def describe_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that decide the numbers."""
    return {"python": platform.python_version(), **installed_versions(_PACKAGES)}


def _processor() -> str:
    """Model of the processor where the system tells, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next((name for name in names if name), platform.processor() or platform.machine())
