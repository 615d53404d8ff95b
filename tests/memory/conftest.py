import numpy as np
import pytest
import torch

from builders import LEVELS
from domains import Domain, H, L, small_domain
from tsmemory.memory.adapter import AdapterConfig, MemoryAdapter
from tsmemory.memory.ridge import Ridge

KEY = 5


@pytest.fixture
def ascending():
    """Draw random quantiles, ascending over levels. Shape ``(B, Q, H)``."""

    def draw(seed, batch=6, horizon=H, spread=1.0):
        rng = np.random.default_rng(seed)
        values = np.sort(rng.normal(0, spread, (batch, len(LEVELS), horizon)), axis=1)
        return torch.from_numpy((values + rng.normal(0, 2, (batch, 1, 1))).astype(np.float32))

    return draw


@pytest.fixture
def adapter_config():
    return AdapterConfig(
        context_length=L,
        horizon=H,
        quantile_levels=LEVELS,
        key_length=KEY,
        block=4,
        patch_length=5,
        patch_width=3,
        width=7,
    )


@pytest.fixture
def ridge():
    rng = np.random.default_rng(3)
    weight = torch.from_numpy(rng.normal(0, 0.1, (L, H)).astype(np.float32))
    return Ridge(weight, torch.from_numpy(rng.normal(size=H).astype(np.float32)), 1.0)


@pytest.fixture
def fresh_adapter(adapter_config, ridge):
    """An adapter as it stands before training."""
    torch.manual_seed(0)
    adapter = MemoryAdapter(adapter_config)
    adapter.start_from(ridge, torch.tensor([0.5, 1.5, 2.0]))
    return adapter.eval()


@pytest.fixture
def shake():
    """Give every trained parameter a random value."""

    def apply(adapter, seed=0, size=1.0):
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in adapter.parameters():
                parameter.copy_(size * torch.randn(parameter.shape, generator=generator))
        return adapter.eval()

    return apply


@pytest.fixture
def adapter_inputs(ascending):
    """Contexts, quantiles and keys of a batch."""
    rng = np.random.default_rng(1)
    contexts = torch.from_numpy(rng.normal(4, 3, (6, L)).astype(np.float32))
    contexts[0, 3:9] = torch.nan
    contexts[1, :12] = torch.nan
    keys = torch.from_numpy(rng.normal(size=(6, KEY)).astype(np.float32))
    return contexts, ascending(2), keys


@pytest.fixture(scope="session")
def domain():
    return small_domain()


@pytest.fixture(scope="session")
def make_domain():
    return Domain
