"""Progress bars for long work: visible in a terminal, silent in CI and in log files."""

import sys
from collections.abc import Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")


def track(items: Sequence[T], description: str) -> Iterable[T]:
    """Yield the items, showing a progress bar when standard error is a terminal.

    Args:
        items: What is worked through; its length sets the length of the bar.
        description: A few words on the work, shown before the bar.

    Returns:
        An iterable over the same items.
    """
    if len(items) < 2 or not sys.stderr.isatty():
        return items
    from rich.console import Console
    from rich.progress import track as rich_track

    return rich_track(items, description, console=Console(stderr=True), transient=True)
