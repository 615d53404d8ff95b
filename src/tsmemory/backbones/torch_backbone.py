"""What backbones that are torch models have in common: batches, roll-out, types."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from tsmemory.backbones.checkpoint import Checkpoint, find_checkpoint, read_model
from tsmemory.backbones.devices import Dtype, check_device, dtype_on
from tsmemory.backbones.protocol import BackboneError, BackboneOutput, Float, Origins
from tsmemory.backbones.rollout import ROLLOUTS, Rollout, roll_out
from tsmemory.fingerprint import digest


class TorchBackbone(ABC):
    """A frozen torch model whose rows do not interact.

    Weights may be bfloat16; contexts, scaling, roll-out and answers are float32 all the same.

    Attributes:
        kind: Name of the kind in the registry.
        model_class: Class of transformers that reads the weights.
        rollout: How horizons beyond the native one are reached.
    """

    kind: str
    model_class: type[Any]
    needs_origins = False

    def __init__(
        self,
        model: Any,
        checkpoint: Checkpoint,
        *,
        batch_size: int = 128,
        rollout: Rollout = "median",
        dtype: Dtype = "auto",
    ) -> None:
        """Freeze a model.

        Args:
            model: The model, on its device and in its type.
            checkpoint: What it was read from.
            batch_size: Contexts in one pass through the model; the answer does not depend on it.
            rollout: How horizons beyond the native one are reached.
            dtype: What was asked for.
        """
        self._model = model.eval().requires_grad_(False)
        self._batch_size = batch_size
        self.rollout: Rollout = rollout
        self.name = checkpoint.name
        self.licence = checkpoint.licence
        self.pretraining_data = checkpoint.pretraining_data
        levels, self.context_length, self.native_horizon = self._sizes()
        self.quantile_levels = tuple(round(float(level), 6) for level in levels)
        chosen = {"rollout": (rollout, "median"), "dtype": (dtype, "auto")}
        changed = {name: now for name, (now, default) in chosen.items() if now != default}
        # Weights alone tell default settings apart, so that a CPU may use what a GPU has made.
        weights = checkpoint.fingerprint
        self.fingerprint = digest({"weights": weights, **changed}) if changed else weights

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
    ) -> Self:
        """Load a model.

        Args:
            source: Folder with ``config.json`` and ``model.safetensors``, or a hub id.
            revision: Branch, tag or commit on the hub.
            device: Torch device.
            dtype: Type of the weights; ``auto`` is bfloat16 on CUDA and float32 elsewhere.
            batch_size: Contexts in one pass through the model; the answer does not depend on it.
            rollout: How horizons beyond the native one are reached: ``median`` or ``quantile``.

        Returns:
            The backbone.

        Raises:
            BackboneError: Weights that cannot be found or are of another model, or a device that
                this machine lacks.
        """
        if rollout not in ROLLOUTS:
            raise BackboneError(f"rollout {rollout!r} is not one of {', '.join(ROLLOUTS)}")
        place = check_device(device)
        numbers = dtype_on(place, dtype)
        checkpoint = find_checkpoint(source, revision)
        checkpoint.expect(cls.kind)
        cls.check_settings(checkpoint)
        model = read_model(checkpoint, cls.model_class, numbers).to(place)
        return cls(model, checkpoint, batch_size=batch_size, rollout=rollout, dtype=dtype)

    @classmethod
    @abstractmethod
    def check_settings(cls, checkpoint: Checkpoint) -> None:
        """Refuse a configuration that cannot be used, before its weights are read."""

    @abstractmethod
    def _sizes(self) -> tuple[list[float], int, int]:
        """Quantile levels, context length and native horizon of the model."""

    @abstractmethod
    def _pass(self, contexts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """One forward pass over contexts ``(B, L)``: keys ``(B, d)``, quantiles ``(B, Q, T)``."""

    def _key(self, contexts: torch.Tensor) -> torch.Tensor:
        """Keys ``(B, d)`` alone; models that can stop early do."""
        return self._pass(contexts)[0]

    @property
    def parameter_count(self) -> int:
        """Number of its weights, each counted once."""
        return sum(weight.numel() for weight in self._model.parameters())

    @property
    def device(self) -> str:
        """Torch device that it runs on."""
        return str(self._model.device)

    @property
    def dtype(self) -> str:
        """Type of its weights."""
        return str(self._model.dtype).removeprefix("torch.")

    def predict_quantiles(
        self, contexts: Float, horizon: int, *, origins: Origins | None = None
    ) -> Float:
        """Quantile forecasts, ascending over levels. Shape ``(B, Q, H)``."""
        return self.encode_and_predict(contexts, horizon).quantiles

    @torch.inference_mode()
    def embed(self, contexts: Float) -> Float:
        """One embedding for each context. Shape ``(B, d)``."""
        return np.concatenate([_array(self._key(batch)) for batch in self._split(contexts)])

    @torch.inference_mode()
    def encode_and_predict(
        self, contexts: Float, horizon: int, *, origins: Origins | None = None
    ) -> BackboneOutput:
        """Embeddings ``(B, d)`` and quantiles ``(B, Q, H)``, from one pass where it is enough."""
        keys, quantiles = [], []
        for batch in self._split(contexts):
            key, first = self._pass(batch)
            whole = roll_out(
                lambda extended: self._pass(extended)[1],
                batch,
                first,
                horizon,
                levels=self.quantile_levels,
                context_length=self.context_length,
                rollout=self.rollout,
            )
            keys.append(_array(key))
            quantiles.append(_array(whole))
        return BackboneOutput(np.concatenate(keys), np.concatenate(quantiles))

    def _split(self, contexts: Float) -> Iterator[torch.Tensor]:
        """Batches of the contexts' last steps, on the model's device."""
        recent = np.ascontiguousarray(contexts[:, -self.context_length :], dtype=np.float32)
        for batch in torch.split(torch.from_numpy(recent), self._batch_size):
            yield batch.to(self._model.device)


def _array(tensor: torch.Tensor) -> Float:
    found: Float = tensor.float().cpu().numpy()
    return found
