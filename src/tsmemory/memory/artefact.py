"""The folder that a forecaster is kept in: ``config.json`` and ``model.safetensors``."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save

from tsmemory import __version__
from tsmemory.backbones import BackboneError
from tsmemory.backbones.weights import find_weights
from tsmemory.fingerprint import digest, sha256_of_file
from tsmemory.memory.card import CARD, MARK
from tsmemory.memory.errors import ForecasterError

FORMAT_VERSION = 3
READABLE = (3,)  # before, memories did not know their series' levels
CONFIG = "config.json"
WEIGHTS = "model.safetensors"


def write_artefact(
    folder: Path, config: Mapping[str, Any], state: Mapping[str, torch.Tensor], *, card: str
) -> None:
    """Write a forecaster's folder.

    The weights are written first and the configuration, which holds their checksum, last: a folder
    that was left half-written is refused when it is read.

    Args:
        folder: Made if it does not exist; files of the same name are replaced.
        config: What :func:`read_artefact` returns beside the weights.
        state: The adapter's tensors by name.
        card: The model card; one that the user has made their own is left as it is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    _replace(folder / WEIGHTS, save(tensors, metadata={"format": "pt"}))
    if not (folder / CARD).exists() or MARK in (folder / CARD).read_text(encoding="utf-8"):
        _replace(folder / CARD, card.encode())
    whole = {
        "format_version": FORMAT_VERSION,
        "tsmemory_version": __version__,
        **config,
        "model_sha256": sha256_of_file(folder / WEIGHTS),
    }
    whole["config_digest"] = digest(whole)
    _replace(folder / CONFIG, (json.dumps(whole, indent=2) + "\n").encode())


def read_artefact(
    source: str | Path, revision: str | None = None
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Read what :func:`write_artefact` wrote, after checking that it is whole.

    Args:
        source: The folder, a Kedro-versioned folder (its latest version is read), or a hub id.
        revision: Branch, tag or commit on the hub.

    Returns:
        The configuration and the adapter's tensors by name.

    Raises:
        ForecasterError: Nothing there, a file is missing, of another format, truncated or changed.
    """
    folder = _find(source, revision)
    config = _read_config(folder / CONFIG)
    weights = folder / WEIGHTS
    found = sha256_of_file(weights)
    if found != config["model_sha256"]:
        raise ForecasterError(
            f"{weights} is truncated or was changed after it was saved: its SHA-256 checksum is "
            f"{found}, {CONFIG} says {config['model_sha256']}; copy or save the forecaster again"
        )
    return config, load_file(weights)


def latest_version(folder: Path) -> Path:
    """The latest version in a Kedro-versioned folder; any other folder as it is."""
    if (folder / CONFIG).is_file():
        return folder
    # Kedro keeps versions as <name>/<version>/<name>; their names sort by time.
    versions = sorted(p for p in folder.glob(f"*/{folder.resolve().name}") if p.is_dir())
    return versions[-1] if versions else folder


def _find(source: str | Path, revision: str | None) -> Path:
    """The folder that holds both files."""
    folder = Path(source)
    if folder.is_dir():
        source = latest_version(folder)
    try:
        return find_weights(source, revision, what="forecaster")
    except BackboneError as error:
        raise ForecasterError(str(error)) from error


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ForecasterError(f"{path} cannot be read (truncated?): {error}") from error
    if not isinstance(config, dict) or "format_version" not in config:
        raise ForecasterError(f"{path} does not describe a forecaster (it has no format_version)")
    if config["format_version"] not in READABLE:
        raise ForecasterError(
            f"{path} has format version {config['format_version']} (written by tsmemory "
            f"{config.get('tsmemory_version', 'unknown')}), this is tsmemory {__version__} which "
            f"reads versions {' and '.join(map(str, READABLE))}; save the forecaster again with "
            "this one"
        )
    said = config.pop("config_digest", None)
    found = digest(config)
    if said != found:
        raise ForecasterError(
            f"{path} was changed after it was saved: its checksum is {found}, it says {said}; copy "
            "or save the forecaster again (another backbone is given as from_pretrained(backbone=))"
        )
    return config


def _replace(path: Path, content: bytes) -> None:
    """Write a file beside its place and then move it there in one step."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.saving")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
