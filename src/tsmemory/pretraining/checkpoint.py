"""Checkpoints: what a killed run goes on from, and what a longer one can begin with."""

import logging
import os
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from tsmemory.pretraining.errors import PretrainingError

LATEST = "checkpoint.pt"
LEVEL = "level.pt"  # the last one before the rate fell, once it falls

State = dict[str, Any]

_FORMAT = 1
_PARTIAL = "checkpoint.partial"
_DAMAGED = (OSError, EOFError, RuntimeError, pickle.UnpicklingError, zipfile.BadZipFile, ValueError)
logger = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoints of one recipe in a folder, each whole or absent at any time.

    Attributes:
        folder: Where they lie.
        recipe: Everything that the weights of a step depend on, as JSON-like values.
    """

    def __init__(self, folder: Path, recipe: Mapping[str, Any]) -> None:
        """Name the folder, which need not exist."""
        self.folder = folder
        self.recipe = dict(recipe)
        self._latest_is_level = False

    def save(self, state: Mapping[str, Any], *, level: bool) -> None:
        """Write a state as the latest checkpoint, in one step.

        Args:
            state: Tensors and JSON-like values, nested as they may be.
            level: Whether it can become part of a longer run. The last one that can is kept beside
                the latest.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self.folder / _PARTIAL
        head = {"format": _FORMAT, "recipe": self.recipe, "level": level}
        torch.save({**head, **state}, partial)
        if self._latest_is_level and not level:
            os.replace(self.folder / LATEST, self.folder / LEVEL)
        os.replace(partial, self.folder / LATEST)
        self._latest_is_level = level

    def load(self, fits: Callable[[State], bool]) -> State | None:
        """Read the latest checkpoint that a run can go on from.

        Args:
            fits: Whether the run can.

        Returns:
            The state, on the CPU; ``None`` where no checkpoint fits.

        Raises:
            PretrainingError: A checkpoint of another recipe, or one that cannot be read.
        """
        for name in (LATEST, LEVEL):
            path = self.folder / name
            if not path.exists():
                continue
            state = self._read(path)
            if fits(state):
                self._latest_is_level = name == LATEST and bool(state["level"])
                return state
        return None

    def _read(self, path: Path) -> State:
        try:
            state: State = torch.load(path, map_location="cpu", weights_only=True)
            known = state["format"] == _FORMAT
        except (*_DAMAGED, KeyError, TypeError) as error:
            brief = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise PretrainingError(
                f"{path} is no checkpoint that can be read ({brief}): remove it to begin anew"
            ) from error
        if not known:
            raise PretrainingError(
                f"{path} has format {state['format']}, expected {_FORMAT}: remove it to begin anew"
            )
        if changes := _differences(state["recipe"], self.recipe):
            raise PretrainingError(
                f"{path} was made with other settings ({'; '.join(changes)}): give the run another "
                "folder, or remove the checkpoint to begin anew"
            )
        return state


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], path: str = "") -> list[str]:
    """Settings that differ between two recipes, each by its dotted path."""
    found = []
    for name in sorted({*before, *now}):
        one, other = before.get(name), now.get(name)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            found += _differences(one, other, f"{path}{name}.")
        elif one != other:
            found.append(f"{path}{name} was {one!r}, now {other!r}")
    return found
