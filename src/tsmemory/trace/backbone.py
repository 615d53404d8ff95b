"""An adapted backbone as a backbone, so that a memory can be put on it (METHOD 2.1).

Importing this module makes the kind ``trace`` known to the registry.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import torch

from tsmemory.backbones.checkpoint import Checkpoint, find_checkpoint
from tsmemory.backbones.devices import Dtype, check_device, dtype_on
from tsmemory.backbones.protocol import Backbone, BackboneError
from tsmemory.backbones.registry import register_backbone
from tsmemory.backbones.rollout import ROLLOUTS, Rollout
from tsmemory.backbones.torch_backbone import TorchBackbone
from tsmemory.backbones.weights import find_local_weights, weights_fingerprint
from tsmemory.trace.artefact import KIND, load_trace, read_config
from tsmemory.trace.errors import TraceError
from tsmemory.trace.model import TraceModel


class TraceBackbone(TorchBackbone):
    """An adapted Chronos-Bolt or Chronos-2.

    Its embedding is that of the backbone under it, from the adapted encoder: the last token of
    Chronos-Bolt, the REG token of Chronos-2. Its fingerprint is of head, LoRA and the fingerprint
    of the backbone under it.
    """

    kind = KIND
    model_class = TraceModel

    @classmethod
    def check_settings(cls, checkpoint: Checkpoint) -> None:
        """Refuse a folder that is not one, or was changed."""
        read_config(checkpoint.folder / "config.json")

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        revision: str | None = None,
        device: str = "cpu",
        dtype: Dtype = "auto",
        batch_size: int = 128,
        rollout: Rollout = "median",
        base: str | Path | None = None,
    ) -> Self:
        """Load an adapted backbone.

        Args:
            source: Folder that the pipeline ``trace`` has written, or a hub id.
            revision: Branch, tag or commit on the hub.
            device: Torch device.
            dtype: Type of the weights; ``auto`` is bfloat16 on CUDA and float32 elsewhere.
            batch_size: Contexts in one pass through the model; the answer does not depend on it.
            rollout: How horizons beyond its own are reached.
            base: Where the backbone under it lies, if it is not where it lay.

        Returns:
            The backbone.

        Raises:
            BackboneError: It cannot be found or read, or is of another backbone.
        """
        if rollout not in ROLLOUTS:
            raise BackboneError(f"rollout {rollout!r} is not one of {', '.join(ROLLOUTS)}")
        place = check_device(device)
        numbers = dtype_on(place, dtype)
        checkpoint = find_checkpoint(source, revision)
        try:
            cls.check_settings(checkpoint)
            model = load_trace(checkpoint.folder, base=base, device=device)
        except TraceError as error:
            raise BackboneError(str(error)) from error
        return cls(
            model.to(numbers), checkpoint, batch_size=batch_size, rollout=rollout, dtype=dtype
        )

    def _sizes(self) -> tuple[list[float], int, int]:
        model: TraceModel = self._model
        return list(model.levels), model.context_length, model.horizon

    def _pass(self, contexts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with self._hidden() as seen:
            quantiles: torch.Tensor = self._model(contexts)
        return seen[-1], quantiles

    def _key(self, contexts: torch.Tensor) -> torch.Tensor:
        with self._hidden() as seen:
            self._model.encoder(contexts)
        return seen[-1]

    @contextmanager
    def _hidden(self) -> Iterator[list[torch.Tensor]]:
        """Collect the encoder's key token ``(B, d)`` of every pass made inside."""
        encoder = self._model.encoder
        # In Chronos-2 future patches follow the REG token.
        place = -1 - (encoder.future if encoder.family == "chronos2" else 0)
        seen: list[torch.Tensor] = []

        def collect(_module: Any, _inputs: Any, output: Any) -> None:
            seen.append(output[0][:, place])

        handle = encoder.model.encoder.register_forward_hook(collect)
        try:
            yield seen
        finally:
            handle.remove()


def load_adapted(source: str | Path, **options: Any) -> Backbone:
    """Load an adapted backbone for the registry; other kinds' options do not concern it."""
    options.pop("season", None)
    return TraceBackbone.from_pretrained(source, **options)


def adapted_fingerprint(source: str, revision: str | None) -> str | None:
    """Digest of an adapted backbone that is on this machine, without loading it."""
    folder = find_local_weights(source, revision)
    return None if folder is None else weights_fingerprint(folder)


register_backbone(KIND, load_adapted, adapted_fingerprint)
