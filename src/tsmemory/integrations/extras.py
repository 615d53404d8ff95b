"""Optional dependencies: imported when asked for, and said how to install where they lack."""

import os
from importlib import import_module
from typing import Any

from tsmemory.errors import UserError


class MissingExtraError(UserError, ImportError):
    """An optional dependency that is not installed; the message says how to install it."""


def require(module: str, *, extra: str) -> Any:
    """Import an optional dependency.

    Args:
        module: Its name, or that of a module inside it.
        extra: The extra of this package that installs it.

    Returns:
        The module.

    Raises:
        MissingExtraError: It is not installed.
    """
    package = module.partition(".")[0]
    if package == "mlflow":
        # As everywhere in this project, nothing is reported to anybody unless the user wants it.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise MissingExtraError(
            f"{package} is not installed; install it with: pip install 'tsmemory[{extra}]'"
        ) from error
