"""The parts of a forecaster: whether they fit each other, and how a configuration names them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from tsmemory.backbones import Backbone, BackboneError, load_backbone
from tsmemory.memory.adapter import AdapterConfig
from tsmemory.memory.errors import ForecasterError
from tsmemory.memory.fusion import Fusion
from tsmemory.memory.known_series import KnownSeries
from tsmemory.memory.profiles import Adapter, AnyConfig, build_adapter, config_from_json
from tsmemory.metrics import season_length

QUANTILE_LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


class ChosenBackbone(NamedTuple):
    """A backbone for a memory that is to be made.

    Attributes:
        backbone: The backbone.
        source: What it was loaded from, or its name if it was given as it is.
        options: What it was loaded with, its device excepted.
        settings: Those of the options that its answers may depend on.
    """

    backbone: Backbone
    source: str
    options: dict[str, Any]
    settings: dict[str, Any]


def choose_backbone(
    backbone: Backbone | str | Path,
    options: Mapping[str, Any] | None,
    freq: str,
    device: str,
) -> ChosenBackbone:
    """Load the backbone that a memory is to be made for.

    Args:
        backbone: The backbone, or where to load it from.
        options: Further arguments of ``load_backbone``.
        freq: Step of the series, which tells their season.
        device: Torch device.

    Returns:
        The backbone. Unless told otherwise one that is loaded here has the nine deciles as levels.

    Raises:
        ForecasterError: It cannot be loaded, or options are given for one that is loaded already.
    """
    if not isinstance(backbone, (str, Path)):
        if options:
            raise ForecasterError("backbone_options need a backbone by name; this one is loaded")
        return ChosenBackbone(backbone, backbone.name, {}, {})
    known: dict[str, Any] = {"quantile_levels": list(QUANTILE_LEVELS), **(options or {})}
    if "seasonal_naive" in (known.get("kind"), str(backbone)):
        known.setdefault("season", season_length(freq))
    try:
        loaded = load_backbone(backbone, **{**known, "device": device})
    except BackboneError as error:
        raise ForecasterError(
            f"the backbone {str(backbone)!r} cannot be loaded: {error}"
        ) from error
    settings = {name: value for name, value in known.items() if name not in ("kind", "revision")}
    return ChosenBackbone(loaded, str(backbone), known, settings)


def check_parts(backbone: Backbone, config: AnyConfig, fusion: Fusion) -> None:
    """Refuse an adapter or a fusion that was made for something else.

    Args:
        backbone: The frozen backbone; asked for one embedding if the adapter reads them.
        config: The adapter's sizes.
        fusion: The fusion.

    Raises:
        ForecasterError: Other quantile levels, another key length, or too few fusion blocks.
    """
    which = f"backbone {backbone.name!r} (fingerprint {backbone.fingerprint})"
    if tuple(config.quantile_levels) != tuple(backbone.quantile_levels):
        raise ForecasterError(
            f"the adapter was made for the quantile levels {list(config.quantile_levels)}, the "
            f"{which} forecasts {list(backbone.quantile_levels)}"
        )
    if isinstance(config, AdapterConfig):
        _check_key_length(backbone, config, which)
    blocks = {len(fusion.location), len(fusion.spread), len(fusion.factor)}
    if min(blocks) != max(blocks) or min(blocks) * fusion.block < config.horizon:
        raise ForecasterError(
            f"the fusion has {sorted(blocks)} blocks of {fusion.block} steps, which do not cover "
            f"the adapter's horizon of {config.horizon}"
        )


def _check_key_length(backbone: Backbone, config: AdapterConfig, which: str) -> None:
    probe = np.linspace(-1, 1, config.context_length, dtype=np.float32)[None]
    key_length = backbone.embed(probe).shape[1]
    if config.key_length != key_length:
        raise ForecasterError(
            f"the adapter was made for embeddings of length {config.key_length}, those of the "
            f"{which} have {key_length}"
        )


def read_memory(
    config: Mapping[str, Any], state: Mapping[str, torch.Tensor]
) -> tuple[Adapter, Fusion, KnownSeries]:
    """Build the adapter, the fusion and the table of series that a configuration describes.

    Args:
        config: With ``adapter`` (sizes that name their profile), ``fusion`` and ``series``.
        state: The adapter's tensors by name.

    Returns:
        All three; the adapter in inference mode.

    Raises:
        ForecasterError: The configuration is not whole or does not fit the tensors.
    """
    try:
        adapter = build_adapter(config_from_json(config["adapter"]))
        adapter.load_state_dict(state)
        series = KnownSeries.from_json(config["series"])
        return adapter.eval(), Fusion.from_json(config["fusion"]), series
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ForecasterError(
            f"config.json does not describe a forecaster, or not these weights: {error!r}"
        ) from error


def read_backbone(
    about: Mapping[str, Any], backbone: Backbone | str | Path | None, device: str
) -> Backbone:
    """Return the backbone that a forecaster was made for.

    Args:
        about: The configuration's ``source``, ``options``, ``name`` and ``fingerprint``.
        backbone: The backbone or where to load it from; ``None`` takes the source named.
        device: Torch device of a backbone that is loaded here.

    Raises:
        ForecasterError: It cannot be loaded, or is another one.
    """
    if backbone is None or isinstance(backbone, (str, Path)):
        source = about["source"] if backbone is None else backbone
        try:
            backbone = load_backbone(source, **{**about["options"], "device": device})
        except BackboneError as error:
            raise ForecasterError(
                f"the backbone {str(source)!r} cannot be loaded: {error} "
                "(from_pretrained takes another folder, or the model itself, as backbone=)"
            ) from error
    # Precomputed forecasts of new cutoffs are another file, but may be of the same model. That the
    # levels are the same is checked where the parts are put together.
    same_model = backbone.needs_origins and backbone.name == about["name"]
    if backbone.fingerprint != about["fingerprint"] and not same_model:
        raise ForecasterError(
            f"the forecaster was made for the backbone {about['name']!r} with fingerprint "
            f"{about['fingerprint']}, but {backbone.name!r} has fingerprint "
            f"{backbone.fingerprint}; give the backbone it was made for, or make the memory anew"
        )
    return backbone
