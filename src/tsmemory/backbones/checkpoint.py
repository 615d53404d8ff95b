"""A folder in transformers' format: what it says of itself, and the model in it."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers.utils import logging as transformers_logging

from tsmemory.backbones.pretraining_data import PretrainingData, known_pretraining
from tsmemory.backbones.protocol import BackboneError
from tsmemory.backbones.weights import find_weights, weights_fingerprint

# Hub ids whose weights are published under Apache-2.0.
_APACHE = ("amazon/chronos-", "google/timesfm-")
_OWNERS = ("amazon/", "google/")
_KIND_OF_MARK = {
    "ChronosBoltPipeline": "chronos_bolt",
    "ChronosBoltModelForForecasting": "chronos_bolt",
    "Chronos2Pipeline": "chronos2",
    "Chronos2Model": "chronos2",
    "TimesFm2_5ModelForPrediction": "timesfm",
    "timesfm2_5": "timesfm",
}


@dataclass(frozen=True)
class Checkpoint:
    """A folder with a configuration and weights.

    Attributes:
        folder: Where ``config.json`` and ``model.safetensors`` lie.
        settings: The configuration.
        name: What reports call the model.
        fingerprint: Digest of both files.
        licence: Licence of the weights.
        pretraining_data: What they were trained on.
    """

    folder: Path
    settings: dict[str, Any]
    name: str
    fingerprint: str
    licence: str
    pretraining_data: PretrainingData

    def expect(self, kind: str) -> None:
        """Refuse a model of another kind.

        Raises:
            BackboneError: It is.
        """
        found = kind_of(self.settings, self.folder)
        if found != kind:
            raise BackboneError(f"{self.folder} holds a model of kind {found}, not {kind}")

    def expect_median(self, levels: Sequence[float]) -> None:
        """Refuse quantile levels that do not ascend around a median.

        Raises:
            BackboneError: They do not.
        """
        path = self.folder / "config.json"
        if 0.5 not in levels:
            raise BackboneError(f"{path} describes a model without a median (level 0.5)")
        if list(levels) != sorted(set(levels)):
            raise BackboneError(f"the quantile levels in {path} do not ascend: {list(levels)}")


def find_checkpoint(source: str | Path, revision: str | None = None) -> Checkpoint:
    """Find a model and read what it says of itself.

    A folder may say it in the section ``tsmemory`` of its ``config.json``: ``name``, ``licence``,
    ``pretraining_data`` (a sentence) and ``pretraining_datasets`` (names of known benchmarks). Of a
    format of our own it also says the ``kind`` that reads it.

    Args:
        source: Folder or hub id.
        revision: Branch, tag or commit on the hub.

    Returns:
        The checkpoint.

    Raises:
        BackboneError: It cannot be found, or its configuration cannot be read.
    """
    folder = find_weights(source, revision)
    settings = read_settings(folder)
    about = settings.get("tsmemory", {})
    local = Path(source).is_dir()
    published = not local and str(source).startswith(_APACHE)
    return Checkpoint(
        folder=folder,
        settings=settings,
        name=about.get("name", folder.resolve().name if local else str(source)),
        fingerprint=weights_fingerprint(folder),
        licence=about.get("licence", "Apache-2.0" if published else "see the model's card"),
        pretraining_data=_pretraining_data(about, folder.resolve().name if local else str(source)),
    )


def read_settings(folder: Path) -> dict[str, Any]:
    """Read ``config.json``.

    Raises:
        BackboneError: It is not JSON, or no mapping.
    """
    path = folder / "config.json"
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BackboneError(f"{path} is not JSON (truncated?): {error}") from error
    if not isinstance(settings, dict):
        raise BackboneError(f"{path} does not describe a model")
    return settings


def kind_of(settings: Mapping[str, Any], folder: Path) -> str:
    """Tell from its configuration which kind of backbone a model is.

    Args:
        settings: The content of ``config.json``.
        folder: Where it lies, for the message.

    Returns:
        Name of the kind in the registry.

    Raises:
        BackboneError: None of the kinds that can be told.
    """
    pipeline = settings.get("chronos_pipeline_class")
    marks = [pipeline] if pipeline else [*_names(settings), settings.get("model_type")]
    for mark in marks:
        if mark in _KIND_OF_MARK:
            return _KIND_OF_MARK[mark]
    said = ", ".join(str(mark) for mark in marks if mark) or "nothing"
    raise BackboneError(
        f"{folder / 'config.json'} names {said}, which is none of the kinds known: "
        f"{', '.join(sorted(set(_KIND_OF_MARK.values())))} (of TimesFM, version 2.5 in the format "
        "of transformers, such as google/timesfm-2.5-200m-transformers)"
    )


def read_model(checkpoint: Checkpoint, model_class: type[Any], dtype: torch.dtype) -> Any:
    """Read a model, complete: tensors that the file lacks would be drawn at random without a word.

    Args:
        checkpoint: Where it lies.
        model_class: Class of transformers that reads it.
        dtype: Type of the weights.

    Returns:
        The model, on the CPU.

    Raises:
        BackboneError: Weights that are truncated, incomplete or of another model.
    """
    folder = checkpoint.folder
    transformers_logging.disable_progress_bar()
    try:
        model, report = model_class.from_pretrained(
            folder,
            use_safetensors=True,
            local_files_only=True,
            dtype=dtype,
            output_loading_info=True,
        )
        with safe_open(folder / "model.safetensors", "pt") as file:
            stored = set(file.keys())
    except Exception as error:
        raise BackboneError(
            f"weights in {folder} cannot be read (truncated or of another model?): {error}"
        ) from error
    # Some classes let tensors be missing without reporting them.
    silent = "|".join(model_class._keys_to_ignore_on_load_missing or ["$^"])
    quiet = {name for name, _ in model.named_parameters() if re.search(silent, name)} - stored
    if missing := sorted(quiet | set(report["missing_keys"])):
        raise BackboneError(
            f"weights in {folder} are of another model: {len(missing)} tensors are missing, "
            f"{missing[0]} first"
        )
    return model


def _names(settings: Mapping[str, Any]) -> list[Any]:
    """Classes that the configuration names."""
    named = settings.get("architectures")
    return named if isinstance(named, list) else []


def _pretraining_data(about: Mapping[str, Any], name: str) -> PretrainingData:
    """What is known of the training data: from the model itself, else from what was published."""
    if "pretraining_data" in about or "pretraining_datasets" in about:
        datasets = about.get("pretraining_datasets")
        known = None if datasets is None else frozenset(str(each).lower() for each in datasets)
        return PretrainingData(about.get("pretraining_data", "see the model's card"), known)
    # Weights that were copied from the hub still bear the last part of their id.
    for hub_id in [name] if "/" in name else [owner + name for owner in _OWNERS]:
        if (data := known_pretraining(hub_id)) is not None:
            return data
    return PretrainingData("not stated in the model's config.json", None)
