"""tsmemory: plug-and-play memory for frozen time-series foundation models."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tsmemory.backbones import load_backbone
    from tsmemory.memory.fit_config import FitConfig
    from tsmemory.memory.forecaster import MemoryForecaster

__version__ = "0.1.0"

__all__ = ["FitConfig", "MemoryForecaster", "__version__", "load_backbone"]

# Imported when first asked for: torch and pandas take seconds, this package takes none.
_HOMES = {
    "FitConfig": "tsmemory.memory.fit_config",
    "MemoryForecaster": "tsmemory.memory.forecaster",
    "load_backbone": "tsmemory.backbones",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
