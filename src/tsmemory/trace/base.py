"""The backbone that is adapted, as a torch model that training may change."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tsmemory.backbones import BackboneError
from tsmemory.backbones.checkpoint import Checkpoint, find_checkpoint, kind_of, read_model
from tsmemory.backbones.chronos2 import Chronos2
from tsmemory.backbones.chronos_bolt import ChronosBolt
from tsmemory.backbones.devices import check_device
from tsmemory.backbones.registry import BUNDLED
from tsmemory.backbones.torch_backbone import TorchBackbone
from tsmemory.trace.errors import TraceError

_CLASSES: dict[str, type[TorchBackbone]] = {each.kind: each for each in (ChronosBolt, Chronos2)}


@dataclass(frozen=True)
class Base:
    """Where the weights of a backbone lie, and what reads them.

    Attributes:
        source: ``bundled``, a folder or a hub id, as it was named.
        revision: Branch, tag or commit on the hub.
        checkpoint: What its folder says.
        kind: Kind in the registry.
        levels: Its quantile levels, ascending.
        device: Torch device that models are put on.
    """

    source: str
    revision: str | None
    checkpoint: Checkpoint
    kind: str
    levels: tuple[float, ...]
    device: torch.device

    def read(self) -> Any:
        """Read the model anew, frozen, in float32: half the bits are too few to train with.

        Raises:
            BackboneError: Weights that cannot be read.
        """
        model = read_model(self.checkpoint, _CLASSES[self.kind].model_class, torch.float32)
        return model.eval().requires_grad_(False).to(self.device)


def load_base(name: str | Path, *, revision: str | None = None, device: str = "cpu") -> Base:
    """Find a backbone that can be adapted.

    Args:
        name: ``bundled``, a folder or a hub id.
        revision: Branch, tag or commit on the hub.
        device: Torch device.

    Returns:
        The backbone; its weights are read when asked for.

    Raises:
        TraceError: A backbone of a kind that cannot be adapted.
        BackboneError: It cannot be found, or the device is not there.
    """
    place = check_device(device)
    try:
        checkpoint = find_checkpoint(BUNDLED if str(name) == "bundled" else name, revision)
        kind = kind_of(checkpoint.settings, checkpoint.folder)
    except BackboneError as error:
        raise TraceError(f"the backbone cannot be adapted: {error}") from error
    if kind not in _CLASSES:
        raise TraceError(
            f"the backbone {str(name)!r} is of kind {kind}, which cannot be adapted; TRACE adapts "
            f"backbones of kind {' and '.join(_CLASSES)}"
        )
    _CLASSES[kind].check_settings(checkpoint)
    levels = tuple(round(float(q), 6) for q in checkpoint.settings["chronos_config"]["quantiles"])
    return Base(str(name), revision, checkpoint, kind, levels, place)
