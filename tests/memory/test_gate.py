import math

import numpy as np
import pytest
import torch

from tsmemory.memory.config import GateConfig
from tsmemory.memory.gate import open_steps, read_signals

MEDIAN = 4


@pytest.fixture
def forecast(ascending):
    contexts = np.random.default_rng(5).normal(2, 3, (6, 32)).astype(np.float32)
    contexts[1, 4:9] = np.nan
    return ascending(0), ascending(1), torch.from_numpy(contexts)


def test_signals_have_no_unit(forecast):
    backbone, memory, contexts = forecast
    signals = read_signals(backbone, memory, contexts, MEDIAN)
    moved = read_signals(7 * backbone + 100, 7 * memory + 100, 7 * contexts + 100, MEDIAN)
    for one, other in zip(signals, moved, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
    x = contexts[0].numpy()
    assert signals.volatility[0].item() == pytest.approx(
        math.sqrt((np.diff(x) ** 2).mean()) / x.std(), rel=1e-4
    )
    width = (backbone[0, -1] - backbone[0, 0]).numpy()
    np.testing.assert_allclose(signals.spread[0], width / x.std(), rtol=1e-4)


def test_a_constant_context_and_a_backbone_without_width():
    backbone = torch.zeros(1, 9, 2)
    memory = torch.zeros(1, 9, 2)
    memory[:, :, 1] = 1.0
    signals = read_signals(backbone, memory, torch.full((1, 8), 3.0), MEDIAN)
    assert signals.spread.tolist() == [[0.0, 0.0]]
    assert signals.disagreement.tolist() == [[0.0, math.inf]]
    assert signals.volatility.item() == 0.0


@pytest.mark.parametrize(
    ("name", "signal", "below"),
    [
        ("min_spread", "spread", False),
        ("max_disagreement", "disagreement", True),
        ("max_volatility", "volatility", True),
    ],
)
def test_each_threshold_asks_its_signal(forecast, name, signal, below):
    backbone, memory, contexts = forecast
    values = getattr(read_signals(backbone, memory, contexts, MEDIAN), signal)
    limit = float(values.median())
    is_open = open_steps(GateConfig(**{name: limit}), backbone, memory, contexts, MEDIAN)
    expected = (values <= limit) if below else (values >= limit)
    assert torch.equal(is_open, expected.expand_as(is_open))
    assert 0 < is_open.float().mean() < 1


def test_all_thresholds_have_to_agree_and_none_is_always_open(forecast):
    assert open_steps(GateConfig(), *forecast, MEDIAN).all()
    one, other = GateConfig(min_spread=0.8), GateConfig(max_disagreement=0.9)
    both = GateConfig(min_spread=0.8, max_disagreement=0.9)
    expected = open_steps(one, *forecast, MEDIAN) & open_steps(other, *forecast, MEDIAN)
    assert torch.equal(open_steps(both, *forecast, MEDIAN), expected)
    assert both.is_on
    assert not GateConfig().is_on
