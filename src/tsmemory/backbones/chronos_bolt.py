"""Chronos-Bolt (Ansari et al., 2024) through chronos-forecasting, from a folder or the hub."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from chronos.chronos_bolt import ChronosBoltModelForForecasting
from safetensors import safe_open
from transformers.utils import logging as transformers_logging

from tsmemory.backbones.protocol import BackboneError, BackboneOutput, Float
from tsmemory.backbones.weights import find_weights, weights_fingerprint

_PUBLISHED_BY = "amazon/"  # weights of these ids were trained on the Chronos corpus
_PUBLISHED_DATA = (
    "the Chronos corpus (public benchmark and synthetic series; see the model's own card)"
)


class ChronosBolt:
    """A Chronos-Bolt model as a frozen backbone.

    Horizons beyond the native one are rolled out on the median: the median forecast is appended to
    the context and the model asked again (METHOD 1.8, ``rollout: median``).
    """

    def __init__(
        self,
        model: ChronosBoltModelForForecasting,
        *,
        name: str,
        fingerprint: str,
        licence: str,
        pretraining_data: str,
        batch_size: int = 128,
    ) -> None:
        self._model = model.eval().requires_grad_(False)
        self._batch_size = batch_size
        settings = model.chronos_config
        self.name = name
        self.fingerprint = fingerprint
        self.licence = licence
        self.pretraining_data = pretraining_data
        self.quantile_levels = tuple(round(float(q), 6) for q in settings.quantiles)
        self.context_length = int(settings.context_length)
        self.native_horizon = int(settings.prediction_length)
        self._median = self.quantile_levels.index(0.5)

    @property
    def device(self) -> str:
        """Torch device that it runs on."""
        return str(self._model.device)

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        revision: str | None = None,
        device: str = "cpu",
        batch_size: int = 128,
    ) -> "ChronosBolt":
        """Load a model in Chronos-Bolt format.

        Args:
            source: Folder with ``config.json`` and ``model.safetensors``, or a hub id.
            revision: Branch, tag or commit on the hub.
            device: Torch device.
            batch_size: Contexts in one pass through the model; the answer does not depend on it.

        Returns:
            The backbone.

        Raises:
            BackboneError: Weights that cannot be found or are not Chronos-Bolt's, or a device that
                this machine lacks.
        """
        _check_device(device)
        folder = find_weights(source, revision)
        settings = _read_settings(folder / "config.json")
        model = _read_model(folder)
        about = settings.get("tsmemory", {})
        return cls(
            model.to(device),
            name=about.get("name", folder.name if Path(source).is_dir() else str(source)),
            fingerprint=weights_fingerprint(folder),
            licence=about.get("licence", "see the model's card"),
            pretraining_data=about.get("pretraining_data", _pretraining_data(source)),
            batch_size=batch_size,
        )

    def predict_quantiles(self, contexts: Float, horizon: int) -> Float:
        """Quantile forecasts, ascending over levels. Shape ``(B, Q, H)``."""
        return self.encode_and_predict(contexts, horizon).quantiles

    @torch.inference_mode()
    def embed(self, contexts: Float) -> Float:
        """The encoder's last token (the REG token where the model has one). Shape ``(B, d)``."""
        keys = [
            self._model.encode(batch)[0][:, -1].cpu().numpy() for batch in self._split(contexts)
        ]
        return np.concatenate(keys).astype(np.float32)

    @torch.inference_mode()
    def encode_and_predict(self, contexts: Float, horizon: int) -> BackboneOutput:
        """Embeddings ``(B, d)`` and quantiles ``(B, Q, H)`` from one pass."""
        keys, quantiles = [], []
        for batch in self._split(contexts):
            key, first = self._pass(batch)
            parts = [first]
            for _ in range(self.native_horizon, horizon, self.native_horizon):
                batch = torch.cat([batch, parts[-1][:, self._median]], dim=1)
                batch = batch[:, -self.context_length :]
                parts.append(self._pass(batch)[1])
            ascending = torch.cat(parts, dim=2)[:, :, :horizon].sort(dim=1).values
            keys.append(key.cpu().numpy())
            quantiles.append(ascending.cpu().numpy())
        return BackboneOutput(np.concatenate(keys), np.concatenate(quantiles))

    def _split(self, contexts: Float) -> Iterator[torch.Tensor]:
        tensor = torch.from_numpy(np.ascontiguousarray(contexts[:, -self.context_length :]))
        for batch in torch.split(tensor, self._batch_size):
            yield batch.to(self._model.device)

    def _pass(self, contexts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """One forward pass: key ``(B, d)`` and quantiles ``(B, Q, native horizon)``."""
        model = self._model
        hidden, loc_scale, embedded, attention_mask = model.encode(context=contexts)
        decoded = model.decode(embedded, attention_mask, hidden)
        flat = model.output_patch_embedding(decoded).view(len(contexts), -1)
        quantiles = model.instance_norm.inverse(flat, loc_scale)
        shape = (len(contexts), len(self.quantile_levels), self.native_horizon)
        return hidden[:, -1], quantiles.view(shape)


def _check_device(device: str) -> None:
    """Refuse a device that this machine lacks, before anything is read."""
    kind = torch.device(device).type
    if kind == "cuda" and not torch.cuda.is_available():
        raise BackboneError(
            f"device {device!r} was asked for, but there is no CUDA device: use cpu"
        )
    if kind == "mps" and not torch.backends.mps.is_available():
        raise BackboneError(f"device {device!r} was asked for, but there is none: use cpu")


def _read_settings(path: Path) -> dict[str, Any]:
    """The configuration of a Chronos-Bolt model."""
    try:
        settings: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BackboneError(f"{path} is not JSON (truncated?): {error}") from error
    if settings.get("chronos_pipeline_class") != "ChronosBoltPipeline":
        raise BackboneError(f"{path} does not describe a Chronos-Bolt model")
    if 0.5 not in settings["chronos_config"]["quantiles"]:
        raise BackboneError(f"{path} describes a model without a median (level 0.5)")
    return settings


def _read_model(folder: Path) -> ChronosBoltModelForForecasting:
    """The model, complete: tensors that the file lacks would be drawn at random without a word."""
    transformers_logging.disable_progress_bar()
    try:
        model = ChronosBoltModelForForecasting.from_pretrained(
            folder, use_safetensors=True, local_files_only=True, dtype=torch.float32
        )
        with safe_open(folder / "model.safetensors", "pt") as file:
            stored = set(file.keys())
    except Exception as error:
        raise BackboneError(
            f"weights in {folder} cannot be read (truncated or of another model?): {error}"
        ) from error
    if missing := sorted({name for name, _ in model.named_parameters()} - stored):
        raise BackboneError(
            f"weights in {folder} are of another model: {len(missing)} tensors are missing, "
            f"{missing[0]} first"
        )
    return model


def _pretraining_data(source: str | Path) -> str:
    """What is known of the training data of weights that do not say it themselves."""
    published = str(source).startswith(_PUBLISHED_BY) and not Path(source).is_dir()
    return _PUBLISHED_DATA if published else "not stated in the model's config.json"
