"""Which backbone a name means."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tsmemory.backbones.protocol import Backbone, BackboneError
from tsmemory.backbones.weights import find_local_weights, weights_fingerprint

BUNDLED = Path(__file__).parent / "bundled"

Loader = Callable[..., Backbone]
_LOADERS: dict[str, Loader] = {}


def register_backbone(kind: str, loader: Loader) -> None:
    """Make a kind of backbone known to :func:`load_backbone`.

    Args:
        kind: Name under which it is asked for.
        loader: Called with ``source`` (folder, hub id or ``None``) and the options given.
    """
    _LOADERS[kind] = loader


def backbone_kinds() -> tuple[str, ...]:
    """Kinds that are registered, in alphabetical order."""
    return tuple(sorted(_LOADERS))


def load_backbone(name: str | Path, *, kind: str | None = None, **options: Any) -> Backbone:
    """Load a frozen backbone.

    Args:
        name: ``"bundled"``, ``"seasonal_naive"``, a local folder, or a hub id such as
            ``"amazon/chronos-bolt-small"``.
        kind: Which registered kind reads it; ``chronos_bolt`` when a folder or hub id is given.
        **options: Passed to the loader (``device``, ``revision``, ``season``, ...).

    Returns:
        The backbone, ready to forecast.

    Raises:
        BackboneError: Unknown kind, or weights that cannot be found or read.

    Example:
        >>> load_backbone("bundled").native_horizon
        96
    """
    if kind is None:
        kind = str(name) if str(name) in _LOADERS else "chronos_bolt"
    if kind not in _LOADERS:
        raise BackboneError(f"unknown backbone kind {kind!r}; known: {', '.join(backbone_kinds())}")
    source = BUNDLED if str(name) == "bundled" else name
    return _LOADERS[kind](source=source, **options)


def backbone_fingerprint(name: str, revision: str | None = None) -> str | None:
    """Tell which weights a name stands for, without loading them and without a network.

    Args:
        name: As for :func:`load_backbone`.
        revision: Branch, tag or commit on the hub.

    Returns:
        Digest of the weights; the name of a backbone that has none; ``None`` where the weights are
        not on this machine, or the kind is not one of this package's.
    """
    if name == "seasonal_naive":
        return name
    if name in _LOADERS:
        return None
    folder = find_local_weights(BUNDLED if name == "bundled" else name, revision)
    return None if folder is None else weights_fingerprint(folder)


def _load_chronos_bolt(source: str | Path, **options: Any) -> Backbone:
    from tsmemory.backbones.chronos_bolt import ChronosBolt

    options.pop("season", None)
    return ChronosBolt.from_pretrained(source, **options)


def _load_seasonal_naive(source: str | Path, **options: Any) -> Backbone:
    from tsmemory.backbones.seasonal_naive import SeasonalNaive

    return SeasonalNaive(season=int(options.get("season", 24)))


register_backbone("chronos_bolt", _load_chronos_bolt)
register_backbone("seasonal_naive", _load_seasonal_naive)
