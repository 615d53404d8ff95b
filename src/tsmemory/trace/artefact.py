"""The folder that an adapted backbone is kept in: head and LoRA only, never the backbone's weights.

``model.safetensors`` holds the tensors; ``config.json`` says how to build the model, and names the
backbone with its fingerprint. What has changed since it was saved is refused.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save

from tsmemory import __version__
from tsmemory.backbones import BackboneError
from tsmemory.backbones.weights import find_weights
from tsmemory.fingerprint import digest, sha256_of_file
from tsmemory.trace.base import Base, load_base
from tsmemory.trace.config import HeadConfig
from tsmemory.trace.errors import TraceError
from tsmemory.trace.gates import GatedLora
from tsmemory.trace.model import TraceModel, build_model

FORMAT_VERSION = 1
KIND = "trace"
_CONFIG, _WEIGHTS = "config.json", "model.safetensors"
_HEAD, _LORA = "head.", "lora."


def save_trace(model: TraceModel, folder: Path) -> None:
    """Write an adapted backbone.

    The weights are written first and the configuration, which holds their checksum, last: a folder
    that was left half-written is refused when it is read.

    Args:
        model: Head and LoRA; of the LoRA the open sites are kept.
        folder: Made if it does not exist; files of the same name are replaced.

    Raises:
        TraceError: A model of whose backbone more than LoRA was trained.
    """
    if model.encoder_trained:
        raise TraceError(
            "only head and gated LoRA can be saved beside a backbone; this model's encoder was "
            "changed itself, as the rows adalora and full do for comparison"
        )
    base = model.base
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {_HEAD + name: tensor for name, tensor in model.head.state_dict().items()}
    lora = None
    if model.lora is not None:
        lora = model.lora.config(open_only=True)
        state = model.lora.state_dict(open_only=True)
        tensors |= {_LORA + name: tensor for name, tensor in state.items()}
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    _replace(folder / _WEIGHTS, save(plain, metadata={"format": "pt"}))
    config = {
        "format_version": FORMAT_VERSION,
        "tsmemory_version": __version__,
        "tsmemory": _about(base),
        "backbone": {
            "source": base.source,
            "revision": base.revision,
            "name": base.checkpoint.name,
            "fingerprint": base.checkpoint.fingerprint,
        },
        "context_length": model.context_length,
        "horizon": model.horizon,
        "quantile_levels": list(model.levels),
        "head": asdict(model.head.config),
        "lora": lora,
        "model_sha256": sha256_of_file(folder / _WEIGHTS),
    }
    config["config_digest"] = digest(config)
    _replace(folder / _CONFIG, (json.dumps(config, indent=2) + "\n").encode())


def load_trace(
    source: str | Path,
    *,
    revision: str | None = None,
    base: str | Path | None = None,
    device: str = "cpu",
) -> TraceModel:
    """Read what :func:`save_trace` wrote and put it on its backbone.

    Args:
        source: Folder or hub id.
        revision: Branch, tag or commit on the hub.
        base: Where the backbone lies, if it is not where it lay.
        device: Torch device.

    Returns:
        The model, merged, frozen and in inference mode.

    Raises:
        TraceError: Not such a folder, truncated, changed, of another format or another backbone.
        BackboneError: The folder or the backbone cannot be found.
    """
    folder = find_weights(source, revision, what="adapted backbone")
    config = read_config(folder / _CONFIG)
    found = sha256_of_file(folder / _WEIGHTS)
    if found != config["model_sha256"]:
        raise TraceError(
            f"{folder / _WEIGHTS} is truncated or was changed after it was saved: its SHA-256 "
            f"checksum is {found}, {_CONFIG} says {config['model_sha256']}; copy the folder again"
        )
    state = load_file(folder / _WEIGHTS)
    model = build_model(
        _base_of(config["backbone"], base, device),
        HeadConfig(**config["head"]),
        context_length=config["context_length"],
        horizon=config["horizon"],
        levels=config["quantile_levels"],
    )
    model.head.load_state_dict(_part(state, _HEAD))
    if config["lora"] is not None:
        model.lora = GatedLora.from_config(model.encoder.model, config["lora"])
        model.lora.load_state_dict(_part(state, _LORA))
        model.lora.merge()
    return model.eval().requires_grad_(False)


def read_config(path: Path) -> dict[str, Any]:
    """Read and check an adapted backbone's ``config.json``.

    Raises:
        TraceError: Not one, of another format, truncated or changed.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        kind = config["tsmemory"]["kind"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TraceError(f"{path} does not describe an adapted backbone: {error!r}") from error
    if kind != KIND or config.get("format_version") != FORMAT_VERSION:
        raise TraceError(
            f"{path} is of kind {kind!r} and format version {config.get('format_version')}, this "
            f"is tsmemory {__version__} which reads kind {KIND!r}, version {FORMAT_VERSION}; run "
            "the pipeline trace again"
        )
    said = config.pop("config_digest", None)
    if said != (found := digest(config)):
        raise TraceError(
            f"{path} was changed after it was saved: its checksum is {found}, it says {said}; copy "
            "the folder again"
        )
    checked: dict[str, Any] = config
    return checked


def _about(base: Base) -> dict[str, Any]:
    """What the folder says of itself to :func:`~tsmemory.backbones.checkpoint.find_checkpoint`."""
    data = base.checkpoint.pretraining_data
    about: dict[str, Any] = {
        "kind": KIND,
        "name": f"{base.checkpoint.name} + TRACE",
        "licence": base.checkpoint.licence,
        "pretraining_data": data.description,
    }
    if data.datasets is not None:
        about["pretraining_datasets"] = sorted(data.datasets)
    return about


def _base_of(about: Mapping[str, Any], base: str | Path | None, device: str) -> Base:
    """The backbone that was adapted, and no other."""
    source = about["source"] if base is None else base
    try:
        found = load_base(
            source, revision=about["revision"] if base is None else None, device=device
        )
    except (BackboneError, TraceError) as error:
        raise TraceError(
            f"the backbone {str(source)!r} under the adapted one cannot be loaded: {error} "
            "(place it there, or give its folder as the option base=)"
        ) from error
    if found.checkpoint.fingerprint != about["fingerprint"]:
        raise TraceError(
            f"the adapted backbone was made from {about['name']!r} with fingerprint "
            f"{about['fingerprint']}, but {str(source)!r} has fingerprint "
            f"{found.checkpoint.fingerprint}; give the one it was made from, or run the pipeline "
            "trace again"
        )
    return found


def _part(state: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}


def _replace(path: Path, content: bytes) -> None:
    """Write a file beside its place and then move it there in one step."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.saving")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
