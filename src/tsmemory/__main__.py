"""Runs the project as ``python -m tsmemory``, from its folder or installed as a package."""

import sys
from pathlib import Path
from typing import Any

from kedro.framework.cli.utils import find_run_command
from kedro.framework.project import configure_project


def main(*args: Any, **kwargs: Any) -> Any:
    """Run ``kedro run`` with the given command-line arguments."""
    package_name = Path(__file__).parent.name
    configure_project(package_name)
    # In a notebook or a shell the caller wants the result, not the end of the process.
    kwargs["standalone_mode"] = not hasattr(sys, "ps1")
    return find_run_command(package_name)(*args, **kwargs)


if __name__ == "__main__":
    main()
