"""Chronos-2 (Ansari et al., 2025) through chronos-forecasting, from a folder or the hub."""

import torch
from chronos.chronos2 import Chronos2Model

from tsmemory.backbones.checkpoint import Checkpoint
from tsmemory.backbones.protocol import BackboneError
from tsmemory.backbones.torch_backbone import TorchBackbone


class Chronos2(TorchBackbone):
    """A Chronos-2 model as a frozen backbone.

    Every row is a univariate series and a group of its own: the model's attention across series
    never looks at another row.

    The embedding is the REG token of the encoder, which stands between context and future and is
    never masked (the last patch is where its steps are missing). The encoder attends both ways, so
    that this token and every forecast depend on the number of future patches. That number is
    therefore always the native one, ``max_output_patches``: keys and quantiles come from one pass,
    and a shorter horizon is a slice of a longer one. ``Chronos2Pipeline`` asks for as few patches
    as cover the horizon, so that its forecasts of short horizons differ a little.
    """

    kind = "chronos2"
    model_class = Chronos2Model

    @classmethod
    def check_settings(cls, checkpoint: Checkpoint) -> None:
        """Refuse a configuration without a median or without the REG token."""
        config = checkpoint.settings.get("chronos_config", {})
        checkpoint.expect_median(config.get("quantiles", []))
        if not config.get("use_reg_token", False):
            raise BackboneError(
                f"{checkpoint.folder / 'config.json'} describes a Chronos-2 model without REG "
                "token (use_reg_token), with which chronos-forecasting cannot forecast"
            )

    def _sizes(self) -> tuple[list[float], int, int]:
        config = self._model.chronos_config
        native = config.max_output_patches * config.output_patch_size
        return config.quantiles, int(config.context_length), int(native)

    def _pass(self, contexts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        model = self._model
        patches = model.chronos_config.max_output_patches
        encoded, loc_scale, *_ = model.encode(context=contexts, num_output_patches=patches)
        hidden = encoded[0]
        said = model.output_patch_embedding(hidden[:, -patches:])
        # (B, patches, Q * patch) > (B, Q, patches * patch)
        count = len(self.quantile_levels)
        by_patch = said.view(len(contexts), patches, count, -1).transpose(1, 2)
        quantiles = model.instance_norm.inverse(by_patch.reshape(len(contexts), -1), loc_scale)
        return hidden[:, -patches - 1], quantiles.view(len(contexts), count, self.native_horizon)
