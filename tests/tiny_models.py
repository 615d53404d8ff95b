"""Models of other libraries with random weights, saved in each library's own format."""

from pathlib import Path
from typing import Any

CHRONOS2_LEVELS = (0.01, 0.05, *(round(level / 20, 2) for level in range(2, 19)), 0.95, 0.99)


def save_tiny_chronos2(folder: Path, *, seed: int = 0, **changes: Any) -> Path:
    """Save a Chronos-2 model: 32 steps of context, 16 native ones, the published 21 levels.

    Args:
        folder: Where to.
        seed: Of the weights.
        **changes: To ``chronos_config``.
    """
    from chronos.chronos2 import Chronos2Model
    from chronos.chronos2.config import Chronos2CoreConfig

    config = Chronos2CoreConfig(
        d_model=16,
        d_kv=8,
        d_ff=32,
        num_layers=2,
        num_heads=2,
        dropout_rate=0.0,
        initializer_factor=0.2,
        chronos_pipeline_class="Chronos2Pipeline",
        chronos_config={
            "context_length": 32,
            "input_patch_size": 8,
            "input_patch_stride": 8,
            "output_patch_size": 8,
            "max_output_patches": 2,
            "quantiles": list(CHRONOS2_LEVELS),
            "use_reg_token": True,
            "use_arcsinh": True,
            **changes,
        },
    )
    return _save(Chronos2Model, config, folder, seed)


def save_tiny_timesfm(folder: Path, *, seed: int = 0, **changes: Any) -> Path:
    """Save a TimesFM-2.5 model: 64 steps of context, 16 native ones, nine levels.

    Args:
        folder: Where to.
        seed: Of the weights.
        **changes: To the configuration.
    """
    from transformers import TimesFm2_5Config, TimesFm2_5ModelForPrediction

    sizes = {
        "patch_length": 8,
        "context_length": 64,
        "horizon_length": 16,
        "output_quantile_len": 32,
        "num_hidden_layers": 2,
        "hidden_size": 16,
        "intermediate_size": 16,
        "head_dim": 8,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "initializer_range": 0.1,
    }
    config = TimesFm2_5Config(**{**sizes, **changes})
    return _save(TimesFm2_5ModelForPrediction, config, folder, seed)


def _save(model_class: Any, config: Any, folder: Path, seed: int) -> Path:
    import torch
    from transformers.utils import logging

    logging.disable_progress_bar()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model_class(config).save_pretrained(folder)
    return folder
