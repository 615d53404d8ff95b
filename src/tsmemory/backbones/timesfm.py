"""TimesFM-2.5 (Das et al., 2024) through transformers, from a folder or the hub."""

from typing import Any

import torch
from transformers import TimesFm2_5Config, TimesFm2_5ModelForPrediction

from tsmemory.backbones.checkpoint import Checkpoint
from tsmemory.backbones.protocol import BackboneError
from tsmemory.backbones.torch_backbone import TorchBackbone


class TimesFM(TorchBackbone):
    """A TimesFM-2.5 model as a frozen backbone.

    Missing steps inside a context are interpolated linearly, those at its end hold the last value
    and those at its start are padding, as in TimesFM. The embedding is the decoder's last token,
    the only one that has seen the whole context. The quantiles are the model's, the mean that it
    gives beside them is not used.

    Three things differ from TimesFM's own package. transformers forecasts one native horizon
    (``horizon_length``) and leaves longer ones to the caller, although the quantile head reaches
    further (``output_quantile_len``): they are rolled out as for every other backbone. Contexts are
    standardised by their observed values before the model sees them; its own scaling counts the
    padding. And forecasts are never clipped at zero (``infer_is_positive``): transformers decides
    that by the smallest value of the whole batch, and contexts come in scaled units, where the sign
    means nothing.
    """

    kind = "timesfm"
    model_class = TimesFm2_5ModelForPrediction

    @classmethod
    def check_settings(cls, checkpoint: Checkpoint) -> None:
        """Refuse a configuration whose median is not where the model reads it."""
        default = TimesFm2_5Config()
        levels = checkpoint.settings.get("quantiles", default.quantiles)
        checkpoint.expect_median(levels)
        # The first output is the mean.
        if levels.index(0.5) + 1 != checkpoint.settings.get("decode_index", default.decode_index):
            raise BackboneError(
                f"decode_index in {checkpoint.folder / 'config.json'} does not point at the median"
            )

    def _sizes(self) -> tuple[list[float], int, int]:
        config = self._model.config
        return config.quantiles, int(config.context_length), int(config.horizon_length)

    def _key(self, contexts: torch.Tensor) -> torch.Tensor:
        said, _, _ = self._ask(contexts, force_flip_invariance=False)
        return self._last_token(said)

    def _pass(self, contexts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        said, loc, scale = self._ask(contexts)
        quantiles = said.full_predictions[:, :, 1:].float().transpose(1, 2)
        return self._last_token(said), quantiles * scale[:, :, None] + loc[:, :, None]

    def _ask(
        self, contexts: torch.Tensor, **options: Any
    ) -> tuple[Any, torch.Tensor, torch.Tensor]:
        """What the model says about standardised contexts, and their mean and deviation."""
        filled, start = fill_gaps(contexts)
        loc, scale = _standard(contexts)
        scaled = (filled - loc) / scale
        patch = self._model.config.patch_length
        said = self._model(
            past_values=[row[first:] for row, first in zip(scaled, start.tolist(), strict=True)],
            forecast_context_len=-(-contexts.shape[1] // patch) * patch,
            truncate_negative=False,
            **options,
        )
        return said, loc, scale

    def _last_token(self, said: Any) -> torch.Tensor:
        hidden: torch.Tensor = said.last_hidden_state
        return hidden[:, -1]


def fill_gaps(contexts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Interpolate missing steps linearly; those at the end hold the last value.

    Args:
        contexts: NaN where missing. Shape ``(B, L)``.

    Returns:
        The contexts, zero where nothing is observed at all, and the first observed step of each,
        shape ``(B,)``; what is before it has no meaning.
    """
    length = contexts.shape[1]
    known = ~contexts.isnan()
    hopeless = ~known.any(dim=1, keepdim=True)
    contexts, known = contexts.masked_fill(hopeless, 0.0), known | hopeless
    step = torch.arange(length, device=contexts.device).expand_as(contexts)
    before = torch.where(known, step, -1).cummax(dim=1).values
    after = torch.where(known, step, length).flip(1).cummin(dim=1).values.flip(1)
    after = torch.where(after == length, before, after)
    low = contexts.gather(1, before.clamp_min(0))
    high = contexts.gather(1, after)
    share = (step - before) / (after - before).clamp_min(1)
    return torch.lerp(low, high, share), known.int().argmax(dim=1)


def _standard(contexts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of the observed steps, each ``(B, 1)``; 0 and 1 without any."""
    loc = contexts.nanmean(dim=1, keepdim=True).nan_to_num(0.0)
    scale = (contexts - loc).square().nanmean(dim=1, keepdim=True).sqrt().nan_to_num(1.0)
    return loc, torch.where(scale > 0, scale, 1.0)
