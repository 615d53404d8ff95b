"""How a long training shows where it is: a bar in a terminal, lines in a log."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Show = Callable[[int, float], None]  # called with the steps done and the latest loss


@contextmanager
def progress_bar(steps: int, done: int, *, wanted: bool = True) -> Iterator[Show]:
    """Show a bar with loss and speed while standard error is a terminal, else nothing.

    Args:
        steps: Steps in all.
        done: Steps that were done before.
        wanted: False shows nothing.

    Yields:
        What to call after each step.
    """
    if not wanted or not sys.stderr.isatty():
        yield lambda _step, _loss: None
        return
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("Pretraining"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[about]}"),
        progress.TimeRemainingColumn(),
    )
    began = time.perf_counter()
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("", total=steps, completed=done, about="")

        def show(step: int, loss: float) -> None:
            speed = (step - done) / (time.perf_counter() - began)
            bars.update(task, completed=step, about=f"loss {loss:.4f}, {speed:.2f} steps/s")

        yield show


def duration(seconds: float) -> str:
    """A duration for people, such as ``3 h 05 min``, ``4 min`` or ``12 s``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"
