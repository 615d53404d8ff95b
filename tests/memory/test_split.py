import numpy as np
import pytest
import torch

from builders import LEVELS
from tsmemory.memory.adapter import AdapterConfig, MemoryAdapter
from tsmemory.memory.split import evenly, memory_parts


@pytest.mark.parametrize("count", [1, 5, 100])
@pytest.mark.parametrize("wanted", [1, 7, 1000])
def test_evenly_spread_positions(count, wanted):
    chosen = evenly(count, wanted)
    assert len(chosen) == min(count, wanted)
    assert chosen[0] == 0
    assert len(chosen) == 1 or chosen[-1] == count - 1
    steps = np.diff(chosen)
    assert len(chosen) < 3 or steps.max() - steps.min() <= 1


def test_take_keeps_windows_and_forecasts_together(domain):
    part = domain.train.take(np.array([7, 3]))
    contexts, target, quantiles, keys = domain.train.tensors()
    for ours, all_of_them in zip(part.tensors(), (contexts, target, quantiles, keys), strict=True):
        assert torch.equal(ours, all_of_them[[7, 3]])


def test_batches_of_any_size_say_the_same(domain, shake):
    key_length = domain.train.forecasts.keys.shape[1]
    adapter = shake(MemoryAdapter(AdapterConfig(32, 10, LEVELS, key_length, block=4)), size=0.2)
    split = domain.train.take(slice(0, 50))

    def memory(batch):
        adapter.train()  # must not matter
        return torch.cat([part.memory for part in memory_parts(split, adapter, batch)()])

    whole = memory(512)
    for batch in (1, 7):
        torch.testing.assert_close(memory(batch), whole, atol=1e-5, rtol=1e-5)
