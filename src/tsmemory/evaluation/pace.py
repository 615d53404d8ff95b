"""How long training will take, told before it begins."""

import time

import torch

from tsmemory.memory.profiles import AnyConfig, build_adapter

_PROBED = 16  # windows in the step that is timed


def probe_training(config: AnyConfig, windows: int) -> float:
    """Seconds that training on so many windows will probably take, from one step with a few.

    Args:
        config: Sizes of the adapter.
        windows: Windows, counted once for each pass and seed.

    Returns:
        Seconds of forward and backward passes; forming the teacher's targets comes on top.
    """
    with torch.random.fork_rng(devices=[]):
        model = build_adapter(config).train()
        contexts = torch.randn(_PROBED, config.context_length)
        shape = (_PROBED, len(config.quantile_levels), config.horizon)
        quantiles = torch.randn(shape).sort(dim=1).values
        keys = torch.randn(_PROBED, getattr(config, "key_length", 1))
        seconds = []
        for _ in range(2):  # the first one warms up
            begin = time.perf_counter()
            model(contexts, quantiles, keys).square().mean().backward()
            seconds.append(time.perf_counter() - begin)
    return seconds[-1] * windows / _PROBED


def in_words(seconds: float) -> str:
    """A duration as people say it: ``40 s``, ``3 min``, ``1.5 h``."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
