"""Progress bars for long work: visible in a terminal, silent in CI and in log files."""

import os
import sys
from collections.abc import Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")


def is_watched() -> bool:
    """Whether somebody looks at a terminal that can redraw a line.

    Returns:
        False where standard error is a file or a pipe, on a dumb terminal, and in CI (``CI`` is set
        and not false), where some services offer a terminal that only fills their logs.
    """
    in_ci = os.environ.get("CI", "").lower() not in ("", "0", "false")
    return sys.stderr.isatty() and not in_ci and os.environ.get("TERM") != "dumb"


def track(items: Sequence[T], description: str) -> Iterable[T]:
    """Yield the items, showing a progress bar where somebody watches.

    Args:
        items: What is worked through; its length sets the length of the bar.
        description: A few words on the work, shown before the bar.

    Returns:
        An iterable over the same items.
    """
    if len(items) < 2 or not is_watched():
        return items
    from rich.console import Console
    from rich.progress import track as rich_track

    return rich_track(items, description, console=Console(stderr=True), transient=True)
