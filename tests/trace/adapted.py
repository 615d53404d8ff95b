"""Small random models with LoRA that is as if it had been trained."""

from typing import Any

import torch

from builders import LEVELS
from tsmemory.trace.gates import GatedLora
from tsmemory.trace.sites import lora_sites

CONTEXT = 32


def small_bolt(*, layers: int = 1, seed: int = 0) -> Any:
    """A Chronos-Bolt model whose answers depend visibly on every layer."""
    from chronos.chronos_bolt import ChronosBoltModelForForecasting
    from transformers import T5Config

    config = T5Config(
        d_model=16,
        d_kv=8,
        d_ff=32,
        num_layers=layers,
        num_decoder_layers=1,
        num_heads=2,
        dropout_rate=0.0,
        vocab_size=2,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
        initializer_factor=1.0,
        chronos_config={
            "context_length": CONTEXT,
            "prediction_length": 8,
            "input_patch_size": 8,
            "input_patch_stride": 8,
            "quantiles": list(LEVELS),
            "use_reg_token": True,
        },
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return ChronosBoltModelForForecasting(config).eval()


def forecast(model: Any, contexts: torch.Tensor) -> torch.Tensor:
    """Quantiles in the contexts' unit. Shape ``(B, Q, T)``."""
    found: torch.Tensor = model(context=contexts).quantile_preds
    return found


def some_contexts(rows: int, *, seed: int = 0) -> torch.Tensor:
    """Random walks. Shape ``(rows, CONTEXT)``."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, CONTEXT, generator=generator).cumsum(dim=1)


def adapted(model: Any, *, rank: int = 2, alpha: float = 1.0, scale: float = 0.3) -> GatedLora:
    """LoRA on every site with matrices ``B`` that are not zero."""
    gated = GatedLora.attach(model, lora_sites(model), rank=rank, alpha=alpha, seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name in gated.names:
            second = gated.pair(name)[1]
            second.copy_(scale * torch.randn(second.shape, generator=generator))
    return gated


def vary_gates(gated: GatedLora) -> None:
    """Set gates that differ from site to site."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        gated.gates.copy_(torch.rand(len(gated.sites), generator=generator) + 0.5)
