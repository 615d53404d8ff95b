"""Chronos-Bolt (Ansari et al., 2024) through chronos-forecasting, from a folder or the hub."""

import torch
from chronos.chronos_bolt import ChronosBoltModelForForecasting

from tsmemory.backbones.checkpoint import Checkpoint
from tsmemory.backbones.torch_backbone import TorchBackbone


class ChronosBolt(TorchBackbone):
    """A Chronos-Bolt model as a frozen backbone.

    Its embedding is the encoder's last token: the REG token where the model has one, else the last
    patch.
    """

    kind = "chronos_bolt"
    model_class = ChronosBoltModelForForecasting

    @classmethod
    def check_settings(cls, checkpoint: Checkpoint) -> None:
        """Refuse a configuration without a median."""
        checkpoint.expect_median(checkpoint.settings.get("chronos_config", {}).get("quantiles", []))

    def _sizes(self) -> tuple[list[float], int, int]:
        config = self._model.chronos_config
        return config.quantiles, int(config.context_length), int(config.prediction_length)

    def _key(self, contexts: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = self._model.encode(context=contexts)[0]
        return hidden[:, -1]

    def _pass(self, contexts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        model = self._model
        hidden, loc_scale, embedded, attention_mask = model.encode(context=contexts)
        decoded = model.decode(embedded, attention_mask, hidden)
        flat = model.output_patch_embedding(decoded).view(len(contexts), -1)
        quantiles = model.instance_norm.inverse(flat, loc_scale)
        shape = (len(contexts), len(self.quantile_levels), self.native_horizon)
        return hidden[:, -1], quantiles.view(shape)
