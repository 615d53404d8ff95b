import numpy as np
import pytest
import torch

from builders import LEVELS, seasonal_rows, series_of, windows_over
from tsmemory.backbones import load_backbone
from tsmemory.memory.adapter import AdapterConfig, MemoryAdapter
from tsmemory.memory.forecasts import forecast_windows
from tsmemory.memory.ridge import Ridge
from tsmemory.memory.split import Split
from tsmemory.retrieval.datastore import Datastore
from tsmemory.retrieval.keys import window_keys
from tsmemory.series.windows import Windows
from tsmemory.teacher.neighbours import find_neighbours
from tsmemory.teacher.synthesis import Teacher

L, H, KEY = 32, 10, 5


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


class Domain:
    """A small domain with everything that distillation needs."""

    def __init__(self, rows, train_end, *, calendar=None, season=8):
        self.series = series_of(rows, calendar=calendar)
        every = windows_over(self.series, L, H)
        inside = every.origin + H <= train_end
        later = every.origin >= train_end
        self.train_windows = self._limited(every.take(np.flatnonzero(inside)), train_end)
        self.validation_windows = every.take(np.flatnonzero(later))
        self.backbone = load_backbone("seasonal_naive", season=season)
        self.train = self._split(self.train_windows)
        self.validation = self._split(self.validation_windows)
        keys = window_keys(self.train_windows.contexts(self.series))
        self.store = Datastore.build(
            keys,
            self.train_windows,
            self.series,
            key_kind="window",
            index_kind="flat",
            same_channel=True,
        )
        self.neighbours = find_neighbours(
            self.store,
            self.train.forecasts.keys,
            self.train_windows,
            self.series,
            k=8,
            k_min=3,
            temperature=0.12,
            embargo="overlap",
            shard_size=200,
        )
        self.teacher = Teacher(self.store, self.series, LEVELS, 8, "midpoint")

    @staticmethod
    def _limited(windows, end):
        limit = np.full(len(windows), end)
        return Windows(windows.row, windows.start, limit, windows.context_length, windows.horizon)

    def _split(self, windows):
        forecasts = forecast_windows(self.backbone, windows, self.series, shard_size=256)
        return Split(self.series, windows, forecasts)


@pytest.fixture(scope="session")
def domain():
    """A season of 8 under noise and drift, on two rows: the seasonal naive can be corrected."""
    rows = seasonal_rows(np.random.default_rng(0), [420, 420])
    return Domain(rows, 260)


@pytest.fixture(scope="session")
def make_domain():
    return Domain
