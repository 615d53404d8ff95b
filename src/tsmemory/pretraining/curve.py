"""Loss curves: reading those of several runs, and setting them beside each other."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from tsmemory.pretraining.errors import PretrainingError

CURVE_FILE = "loss_curve.csv"
HELD_OUT = "held_out_"
_PLAIN = ("step", "samples", "seconds", "train_loss")


def read_curves(paths: Sequence[str | Path]) -> dict[str, pd.DataFrame]:
    """Read loss curves.

    Args:
        paths: CSV files, or folders that hold a ``loss_curve.csv``.

    Returns:
        The curves by the name of their file or folder.

    Raises:
        PretrainingError: A file is missing or is no loss curve, or two have one name.
    """
    curves: dict[str, pd.DataFrame] = {}
    for path in map(Path, paths):
        file = path / CURVE_FILE if path.is_dir() else path
        name = path.name if path.is_dir() else path.stem
        if not file.is_file():
            raise PretrainingError(f"{file}: no such file; give loss curves of pretraining runs")
        curve = pd.read_csv(file)
        if missing := [column for column in _PLAIN if column not in curve]:
            raise PretrainingError(f"{file} is no loss curve: it lacks {', '.join(missing)}")
        if name in curves:
            raise PretrainingError(f"two loss curves are called {name!r}; rename one of them")
        curves[name] = curve
    return curves


def held_out_loss(curve: pd.DataFrame) -> pd.Series:
    """Held-out loss at each point, the mean over context lengths."""
    return curve[[name for name in curve if str(name).startswith(HELD_OUT)]].mean(axis=1)


def check_columns(curve: pd.DataFrame, metric: str) -> dict[str, str]:
    """Columns of a metric of the zero-shot checks, by the check's name."""
    ending = f"_{metric}"
    return {
        str(name).removesuffix(ending): str(name)
        for name in curve
        if str(name).endswith(ending) and not str(name).startswith(HELD_OUT)
    }


def compare_curves(curves: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Set the ends of several runs beside each other.

    Args:
        curves: Loss curves by name.

    Returns:
        Table ``run, step, samples, seconds, train_loss, held_out`` and every value of the zero-shot
        checks, a line for each run, best held-out loss first. ``held_out`` compares only runs of
        the same context lengths and horizon.
    """
    lines = []
    for name, curve in curves.items():
        last = curve.iloc[-1]
        columns = [str(column) for column in curve if not str(column).startswith(HELD_OUT)]
        lines.append(
            {
                "run": name,
                **{column: last[column] for column in _PLAIN},
                "held_out": held_out_loss(curve).iloc[-1],
                **{column: last[column] for column in columns if column not in _PLAIN},
            }
        )
    table = pd.DataFrame(lines).astype({"step": int, "samples": int})
    return table.sort_values("held_out", ignore_index=True)
