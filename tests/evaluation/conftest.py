import numpy as np
import pytest
import torch

from builders import LEVELS
from domains import H, L, small_domain
from tsmemory.memory.adapter import AdapterConfig, MemoryAdapter
from tsmemory.memory.split import Split


@pytest.fixture(scope="session")
def domain():
    return small_domain()


@pytest.fixture(scope="session")
def halves(domain):
    """Validation and test: the earlier and the later half of what is not trained on."""
    split = domain.validation
    later = split.windows.origin >= 340
    fitted = split.windows.origin + H <= 340
    return split.take(np.flatnonzero(fitted)), split.take(np.flatnonzero(later))


@pytest.fixture(scope="session")
def adapters(domain):
    """Two adapters of random weights."""
    config = AdapterConfig(
        context_length=L,
        horizon=H,
        quantile_levels=LEVELS,
        key_length=domain.train.forecasts.keys.shape[1],
        block=4,
        patch_length=5,
        patch_width=3,
        width=7,
    )
    made = {}
    for seed in (3, 4):
        generator = torch.Generator().manual_seed(seed)
        made[seed] = MemoryAdapter(config).eval()
        with torch.no_grad():
            for tensor in (*made[seed].parameters(), made[seed].weight, made[seed].bias):
                tensor.copy_(0.3 * torch.randn(tensor.shape, generator=generator))
    return made


@pytest.fixture
def with_values():
    """The same windows and forecasts over rows of other values."""

    def change(split, flat):
        series = split.series
        fields = {name: getattr(series, name) for name in series.__dataclass_fields__}
        other = type(series)(**{**fields, "flat": flat.astype(np.float32)})
        return Split(other, split.windows, split.forecasts)

    return change
