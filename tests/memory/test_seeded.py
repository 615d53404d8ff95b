import torch

from builders import LEVELS
from tsmemory.memory.adapter import AdapterConfig, MemoryAdapter
from tsmemory.memory.seeded import SeededAdapters


def test_it_survives_a_round_trip(tmp_path, shake):
    config = AdapterConfig(16, 5, LEVELS, 3, block=2, width=4)
    adapters = {seed: shake(MemoryAdapter(config), seed) for seed in (3, 1)}
    seeded = SeededAdapters(adapters, {"3": {"skill": 0.1}, "1": {"skill": 0.0}})
    seeded.save_pretrained(tmp_path / "seeded")
    loaded = SeededAdapters.from_pretrained(tmp_path / "seeded")
    assert list(loaded.adapters) == [3, 1]
    assert loaded.shipped.config == config
    assert loaded.report == seeded.report
    inputs = torch.randn(2, 16), torch.randn(2, 9, 5).sort(dim=1).values, torch.randn(2, 3)
    for seed in (3, 1):
        assert torch.equal(loaded.adapters[seed](*inputs), adapters[seed](*inputs))
        assert not loaded.adapters[seed].training
    assert loaded.summary() == seeded.summary()
