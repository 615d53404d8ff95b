"""Which backbone a name means."""

from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from tsmemory.backbones.levels import AtLevels
from tsmemory.backbones.protocol import Backbone, BackboneError
from tsmemory.backbones.weights import find_local_weights, find_weights, weights_fingerprint
from tsmemory.series.reading import SUFFIXES

BUNDLED = Path(__file__).parent / "bundled"

Loader = Callable[..., Backbone]
Fingerprint = Callable[[str, str | None], str | None]


class Kind(NamedTuple):
    """How backbones of a kind are loaded and told apart.

    Attributes:
        loader: Called with ``source`` (name, folder or hub id) and the options given.
        fingerprint: Digest of what a name (and revision) stands for, without loading it; ``None``
            where it is not on this machine.
    """

    loader: Loader
    fingerprint: Fingerprint


_KINDS: dict[str, Kind] = {}
# Kinds that higher layers add: the module that registers each, imported when it is asked for.
_PROVIDERS = {"trace": "tsmemory.trace.backbone"}


def register_backbone(kind: str, loader: Loader, fingerprint: Fingerprint | None = None) -> None:
    """Make a kind of backbone known to :func:`load_backbone`.

    Args:
        kind: Name under which it is asked for.
        loader: Called with ``source`` (folder, hub id or ``None``) and the options given.
        fingerprint: Called with a name and a revision: a digest of what they stand for, without
            loading it; ``None`` where that is not known. Without it runs cannot resume.
    """
    _KINDS[kind] = Kind(loader, fingerprint or (lambda _name, _revision: None))


def backbone_kinds() -> tuple[str, ...]:
    """Kinds that can be asked for, in alphabetical order."""
    return tuple(sorted({*_KINDS, *_PROVIDERS}))


def load_backbone(
    name: str | Path,
    *,
    kind: str | None = None,
    quantile_levels: Sequence[float] | None = None,
    **options: Any,
) -> Backbone:
    """Load a frozen backbone.

    Args:
        name: ``"bundled"``, ``"seasonal_naive"``, a local folder, a hub id such as
            ``"amazon/chronos-bolt-small"``, or a CSV or Parquet file of precomputed forecasts.
        kind: Which registered kind reads it; told from its ``config.json`` if not given.
        quantile_levels: Levels that it answers at, ascending, 0.5 among them: its own quantiles are
            interpolated to them. Its own levels if not given.
        **options: Passed to the loader (``device``, ``dtype``, ``batch_size``, ``rollout``,
            ``revision``, ``season``, ...).

    Returns:
        The backbone, ready to forecast.

    Raises:
        BackboneError: Unknown kind, or weights that cannot be found or read.

    Example:
        >>> load_backbone("bundled").quantile_levels[4]
        0.5
    """
    source = BUNDLED if str(name) == "bundled" else name
    if kind is None:
        kind = str(name) if str(name) in _KINDS else _told_kind(source, options)
    known = _find_kind(kind)
    if known is None:
        raise BackboneError(f"unknown backbone kind {kind!r}; known: {', '.join(backbone_kinds())}")
    backbone = known.loader(source=source, **options)
    if quantile_levels is None or tuple(quantile_levels) == backbone.quantile_levels:
        return backbone
    return AtLevels(backbone, quantile_levels)


def backbone_fingerprint(
    name: str, revision: str | None = None, kind: str | None = None
) -> str | None:
    """Tell what a name stands for, without loading it and without a network.

    Args:
        name: As for :func:`load_backbone`.
        revision: Branch, tag or commit on the hub.
        kind: As for :func:`load_backbone`.

    Returns:
        Digest of the weights; the name of a backbone that has none; ``None`` where the weights are
        not on this machine, or the kind cannot tell.
    """
    if kind is None:
        kind = "precomputed" if is_forecast_table(name) else name
    known = _KINDS.get(kind)
    return known.fingerprint(name, revision) if known else _weights_here(name, revision)


def is_forecast_table(name: str | Path) -> bool:
    """Whether a name is that of a file of precomputed forecasts, by its ending."""
    return str(name).lower().endswith(SUFFIXES)


def _find_kind(kind: str) -> Kind | None:
    """What is known of a kind, once its module has registered it."""
    if kind not in _KINDS and kind in _PROVIDERS:
        import_module(_PROVIDERS[kind])
    return _KINDS.get(kind)


def _told_kind(source: str | Path, options: dict[str, Any]) -> str:
    """The kind that a file's ending, or a folder's configuration, tells."""
    if is_forecast_table(source):
        return "precomputed"
    from tsmemory.backbones.checkpoint import kind_of, read_settings
    from tsmemory.backbones.devices import check_device

    check_device(options.get("device", "cpu"))  # before anything is downloaded
    folder = find_weights(source, options.get("revision"))
    settings = read_settings(folder)
    named: str | None = settings.get("tsmemory", {}).get("kind")
    return named or kind_of(settings, folder)


def _weights_here(name: str, revision: str | None) -> str | None:
    folder = find_local_weights(BUNDLED if name == "bundled" else name, revision)
    return None if folder is None else weights_fingerprint(folder)


def _load_torch(module: str, name: str, *, source: str | Path, **options: Any) -> Backbone:
    """Load a torch backbone; its library is imported only now."""
    options.pop("season", None)
    made: Backbone = getattr(import_module(module), name).from_pretrained(source, **options)
    return made


def _load_seasonal_naive(source: str | Path, **options: Any) -> Backbone:
    from tsmemory.backbones.seasonal_naive import SeasonalNaive

    return SeasonalNaive(season=int(options.get("season", 24)))


def _load_precomputed(source: str | Path, **_: Any) -> Backbone:
    """Read a table of forecasts; what concerns weights and devices does not concern it."""
    from tsmemory.backbones.precomputed import Precomputed

    return Precomputed.from_pretrained(source)


def _table_here(name: str, _revision: str | None) -> str | None:
    from tsmemory.backbones.forecast_table import table_fingerprint

    return table_fingerprint(name) if Path(name).is_file() else None


for _kind, _module, _class in (
    ("chronos_bolt", "chronos_bolt", "ChronosBolt"),
    ("chronos2", "chronos2", "Chronos2"),
    ("timesfm", "timesfm", "TimesFM"),
):
    register_backbone(
        _kind, partial(_load_torch, f"tsmemory.backbones.{_module}", _class), _weights_here
    )
register_backbone("seasonal_naive", _load_seasonal_naive, lambda name, _revision: "seasonal_naive")
register_backbone("precomputed", _load_precomputed, _table_here)
