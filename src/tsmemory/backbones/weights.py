"""Finding the weights of a backbone: a local folder, the hub's cache, or the hub itself."""

import os
import socket
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from tsmemory.backbones.protocol import BackboneError
from tsmemory.fingerprint import digest, known_sha256

_FILES = ("config.json", "model.safetensors")
_CONNECT_SECONDS = 3.0


def find_weights(
    source: str | Path, revision: str | None = None, *, what: str = "backbone"
) -> Path:
    """Return the folder that holds ``config.json`` and ``model.safetensors``.

    A folder is used as it is. Anything else is a hub id: the cache is asked first, the network only
    when the cache lacks it, and a missing network is said at once rather than after retries.

    Args:
        source: Local folder or hub id (``owner/name``).
        revision: Branch, tag or commit on the hub.
        what: What messages call that which is looked for.

    Returns:
        Path of the folder.

    Raises:
        BackboneError: Nothing there, or a file is missing; the message says how to place it.
    """
    folder = Path(source)
    if folder.is_dir():
        return _checked(folder, what)
    text = str(source)
    if not _is_hub_id(text):
        raise BackboneError(
            f"{what} {text!r} is neither a known name, a local folder nor a hub id (owner/name)"
        )
    return _checked(_from_hub(text, revision, what), what)


def find_local_weights(source: str | Path, revision: str | None = None) -> Path | None:
    """Return what :func:`find_weights` would, as far as it is on this machine already.

    Args:
        source: Local folder or hub id (``owner/name``).
        revision: Branch, tag or commit on the hub.

    Returns:
        Path of the folder; ``None`` where it, or a file in it, is missing. Never uses the network.
    """
    folder = Path(source)
    if folder.is_dir():
        return None if _missing(folder) else folder
    return _cached(str(source), revision) if _is_hub_id(str(source)) else None


def weights_fingerprint(folder: Path) -> str:
    """Digest of the configuration and the weights in a folder."""
    return digest({name: known_sha256(folder / name) for name in _FILES})


def _missing(folder: Path) -> list[str]:
    return [name for name in _FILES if not (folder / name).is_file()]


def _checked(folder: Path, what: str) -> Path:
    if missing := _missing(folder):
        raise BackboneError(f"{what} folder {folder} lacks {', '.join(missing)}{_hint(missing)}")
    return folder


def _hint(missing: list[str]) -> str:
    """What to do about missing weights: shards and the older, pickled format are not read."""
    if missing != ["model.safetensors"]:
        return ""
    return (
        " (weights in several files or in pytorch_model.bin are not read: save the model again "
        "with model.save_pretrained(folder, max_shard_size='100GB'))"
    )


def _is_hub_id(text: str) -> bool:
    return text.count("/") == 1 and not text.startswith((".", "/"))


def _cached(hub_id: str, revision: str | None) -> Path | None:
    """The whole snapshot in the hub's cache, if there is one."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    patterns = list(_FILES)
    try:
        folder = Path(
            snapshot_download(
                hub_id, revision=revision, allow_patterns=patterns, local_files_only=True
            )
        )
    except LocalEntryNotFoundError:
        return None
    # An interrupted download leaves a snapshot without its weights.
    return None if _missing(folder) else folder


def _from_hub(hub_id: str, revision: str | None, what: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    if (cached := _cached(hub_id, revision)) is not None:
        return cached
    if not hub_is_reachable():
        pinned = f"--revision {revision} " if revision else ""
        raise BackboneError(
            f"{what} {hub_id!r} is not in the local cache and the hub cannot be reached. "
            f"On a machine with network run `hf download {hub_id} {' '.join(_FILES)} "
            f"{pinned}--local-dir {hub_id.split('/')[1]}`, copy the folder here and give its path "
            f"as the {what}."
        )
    try:
        return Path(snapshot_download(hub_id, revision=revision, allow_patterns=list(_FILES)))
    except (HfHubHTTPError, OSError) as error:
        raise BackboneError(f"{what} {hub_id!r} could not be downloaded: {error}") from error


def hub_is_reachable() -> bool:
    """Whether something answers where the hub, or the proxy in front of it, is said to be."""
    from huggingface_hub import constants

    if os.environ.get("HF_HUB_OFFLINE", "0").upper() in {"1", "TRUE", "YES", "ON"}:
        return False
    target = urlsplit(constants.ENDPOINT)
    proxy = getproxies().get(target.scheme)
    if proxy and not proxy_bypass(target.hostname or ""):
        target = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    try:
        port = target.port or (80 if target.scheme == "http" else 443)
        socket.create_connection((target.hostname or "", port), timeout=_CONNECT_SECONDS).close()
    except (OSError, ValueError):
        return False
    return True
