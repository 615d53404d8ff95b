import pytest
import torch

from builders import save_tiny_bolt
from tiny_models import save_tiny_chronos2, save_tiny_timesfm
from tsmemory.trace.artefact import save_trace
from tsmemory.trace.base import load_base
from tsmemory.trace.config import HeadConfig
from tsmemory.trace.gates import GatedLora
from tsmemory.trace.model import build_model
from tsmemory.trace.sites import lora_sites


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """Where the tests' models lie."""
    return tmp_path_factory.mktemp("weights")


@pytest.fixture(scope="session")
def tiny_bolt(weights):
    return save_tiny_bolt(weights / "tiny")


@pytest.fixture(scope="session")
def plain_bolt(weights):
    """Without REG token."""
    return save_tiny_bolt(weights / "plain", reg=False)


@pytest.fixture(scope="session")
def tiny_chronos2(weights):
    return save_tiny_chronos2(weights / "tiny2")


@pytest.fixture(scope="session")
def tiny_timesfm(weights):
    return save_tiny_timesfm(weights / "tinyfm")


@pytest.fixture(scope="session")
def tiny_trace(tiny_bolt, weights):
    """An adapted backbone: a head and LoRA of random weights."""
    torch.manual_seed(0)
    base = load_base(tiny_bolt)
    levels = base.levels
    model = build_model(base, HeadConfig(rank=2), context_length=32, horizon=12, levels=levels)
    net = model.encoder.model
    model.lora = GatedLora.attach(net, lora_sites(net), seed=0)
    for name in model.lora.names:
        torch.nn.init.normal_(model.lora.pair(name)[1], std=0.1)
    model.lora.merge()
    save_trace(model.requires_grad_(False).eval(), weights / "trace")
    return weights / "trace"
