"""The architecture that is pretrained: a small Chronos-Bolt (Ansari et al., 2024)."""

from pathlib import Path
from typing import Any

import torch
from chronos.chronos_bolt import ChronosBoltModelForForecasting
from torch import Tensor
from transformers import T5Config
from transformers.utils import logging as transformers_logging

from tsmemory.pretraining.config import Dtype, ModelConfig
from tsmemory.pretraining.errors import PretrainingError
from tsmemory.series.series_set import Float

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def build_model(config: ModelConfig) -> ChronosBoltModelForForecasting:
    """Build a network with random weights; the global torch seed decides which."""
    settings = T5Config(
        d_model=config.width,
        d_ff=config.hidden,
        d_kv=config.width // config.heads,
        num_heads=config.heads,
        num_layers=config.encoder_layers,
        num_decoder_layers=config.decoder_layers,
        dropout_rate=0.0,
        feed_forward_proj="relu",
        initializer_factor=1.0,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
        vocab_size=2,
    )
    settings.reg_token_id = 1
    settings.chronos_pipeline_class = "ChronosBoltPipeline"
    settings.chronos_config = {
        "context_length": config.context_length,
        "prediction_length": config.horizon,
        "input_patch_size": config.patch_length,
        "input_patch_stride": config.patch_length,
        "quantiles": list(LEVELS),
        "use_reg_token": True,
    }
    model = ChronosBoltModelForForecasting(settings)
    # Forecasts start at the context's mean: the first steps are not spent on unlearning noise.
    torch.nn.init.zeros_(model.output_patch_embedding.output_layer.weight)
    torch.nn.init.zeros_(model.output_patch_embedding.residual_layer.weight)
    return model


def count_parameters(model: torch.nn.Module) -> int:
    """Numbers that are learnt; shared ones count once."""
    return sum(weight.numel() for weight in model.parameters())


def normal_quantiles(model: ChronosBoltModelForForecasting, contexts: Tensor) -> Tensor:
    """Quantiles in units of each context's mean and standard deviation. Shape ``(B, Q, H)``."""
    hidden, _, embedded, mask = model.encode(context=contexts)
    decoded = model.decode(embedded, mask, hidden)
    flat: Tensor = model.output_patch_embedding(decoded)
    return flat.view(len(contexts), len(LEVELS), -1)


def pinball(quantiles: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean over steps of twice the pinball loss, averaged over levels.

    Args:
        quantiles: Shape ``(B, Q, H)``.
        targets: NaN where missing. Shape ``(B, H)``.
        weights: Weight of each step, summing to 1. Shape ``(H,)``.

    Returns:
        The loss of each window. Missing steps count as forecast without error. Shape ``(B,)``.
    """
    levels = torch.tensor(LEVELS, device=quantiles.device)[None, :, None]
    known = ~targets.isnan()
    difference = torch.where(known, targets, 0.0)[:, None] - quantiles.float()
    loss = torch.maximum(levels * difference, (levels - 1) * difference).mean(dim=1)
    return 2 * (loss * known * weights).sum(dim=1)


def clarity(quantiles: Tensor, weights: Tensor, floor: float) -> Tensor:
    """Weights of windows: one over the spread that the model itself expects. Shape ``(B,)``.

    Losses are in units of each context's spread. Unweighted, windows that nobody can forecast
    outweigh clean ones, whose patterns would be learnt late and coarsely. The weight depends on
    the context alone, so that the quantiles that are learnt stay the same.

    Args:
        quantiles: Shape ``(B, Q, H)``.
        weights: Weight of each step, summing to 1. Shape ``(H,)``.
        floor: Added to the spread, so that no window counts for too much.
    """
    band = (quantiles[:, -1] - quantiles[:, 0]).detach().float().abs()
    return 1 / ((band * weights).sum(dim=1) + floor)


def step_weights(horizon: int, decay: float) -> Tensor:
    """Weights ``h^-decay`` of the steps ahead, summing to 1: near steps count more. ``(H,)``."""
    weights = torch.arange(1, horizon + 1, dtype=torch.float32) ** -decay
    return weights / weights.sum()


@torch.inference_mode()
def forecast(
    model: ChronosBoltModelForForecasting, contexts: Float, horizon: int, batch_size: int = 256
) -> Float:
    """Quantile forecasts in one pass, float32, ascending over levels.

    Args:
        model: The network, on any device.
        contexts: Contexts, NaN where missing. Shape ``(B, L)``.
        horizon: Steps, at most the network's own.
        batch_size: Contexts in one pass.

    Returns:
        Shape ``(B, Q, horizon)``.
    """
    recent = torch.from_numpy(contexts[:, -model.chronos_config.context_length :].copy())
    parts = [
        model(context=batch.to(model.device)).quantile_preds[:, :, :horizon].sort(dim=1).values
        for batch in torch.split(recent, batch_size)
    ]
    found: Float = torch.cat(parts).float().cpu().numpy()
    return found


def save_model(
    model: ChronosBoltModelForForecasting,
    folder: Path,
    about: dict[str, Any],
    dtype: Dtype = "float32",
) -> None:
    """Write ``config.json`` and ``model.safetensors`` as chronos-forecasting reads them.

    The configuration names float32 whatever the weights are stored in, so that every reader
    computes in float32: half the bits save room, not accuracy in computing.

    Args:
        model: The network, in float32.
        folder: Where.
        about: Section ``tsmemory`` of the configuration: name, licence, training data.
        dtype: In which the weights are stored.

    Raises:
        PretrainingError: A weight is not finite, or too large for ``dtype``.
    """
    model.config.tsmemory = about
    transformers_logging.disable_progress_bar()
    model.save_pretrained(folder, state_dict=_stored(model, dtype))


def as_stored(model: ChronosBoltModelForForecasting, dtype: Dtype) -> None:
    """Round the weights in place to what :func:`save_model` would store.

    Raises:
        PretrainingError: A weight is not finite, or too large for ``dtype``.
    """
    model.load_state_dict({name: w.float() for name, w in _stored(model, dtype).items()})


def _stored(model: torch.nn.Module, dtype: Dtype) -> dict[str, Tensor]:
    """Weights in another type; those that share memory still do."""
    cast: dict[tuple[int, torch.Size], Tensor] = {}
    stored = {}
    for name, weight in model.state_dict().items():
        if not weight.is_floating_point():
            stored[name] = weight
            continue
        place = (weight.data_ptr(), weight.shape)
        if place not in cast:
            cast[place] = weight.detach().to(getattr(torch, dtype))
            if not bool(cast[place].isfinite().all()):
                raise PretrainingError(
                    f"weights {name} are not finite in {dtype}: choose float32 or bfloat16 as "
                    "export_dtype, or train again with a lower learning rate"
                )
        stored[name] = cast[place]
    return stored
