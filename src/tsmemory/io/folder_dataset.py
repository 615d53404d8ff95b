"""A catalog entry for models that save themselves into a folder."""

import importlib
import json
import os
import shutil
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from kedro.io.core import AbstractVersionedDataset, DatasetError, Version
from kedro_datasets._typing import JSONPreview


class Folder(Protocol):
    """What a class must offer to be kept by a :class:`FolderDataset`."""

    def save_pretrained(self, folder: Path) -> None:
        """Write everything into an existing, empty folder."""

    @classmethod
    def from_pretrained(cls, folder: Path) -> "Folder":
        """Read back what :meth:`save_pretrained` wrote."""

    def summary(self) -> dict[str, Any]:
        """A few JSON-like facts for people: sizes, settings, fingerprints."""


class FolderDataset(AbstractVersionedDataset[Any, Any]):
    """Keeps an object of one class in a folder that is whole or absent, never half-written.

    Example:
        ```yaml
        datastore:
          type: tsmemory.io.FolderDataset
          filepath: data/04_datastore/my_domain/datastore
          kind: tsmemory.retrieval.datastore.Datastore
          load_args: {mapped: true}
          versioned: true
        ```

    Attributes:
        summary_name: File in the folder for what people want to know first.
    """

    summary_name = "summary.json"

    def __init__(
        self,
        *,
        filepath: str,
        kind: str,
        load_args: dict[str, Any] | None = None,
        version: Version | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Describe the folder; nothing is imported or read yet.

        Args:
            filepath: The folder, or, when versioned, the folder that holds the versions.
            kind: Import path of the class, which implements :class:`Folder`.
            load_args: Further arguments of its ``from_pretrained``.
            version: Set by Kedro for ``versioned: true``.
            metadata: Free; Kedro-Viz reads its layer here.
        """
        super().__init__(PurePosixPath(filepath), version)
        self._kind = kind
        self._load_args = dict(load_args or {})
        self.metadata = metadata

    def load(self) -> Any:
        """Read the object.

        Raises:
            DatasetError: The folder does not exist.
        """
        folder = whole_folder(Path(self._get_load_path()))
        if not folder.is_dir():
            raise DatasetError(f"{folder} does not exist; run the pipeline that makes it first")
        return self._class().from_pretrained(folder, **self._load_args)

    def save(self, data: Any) -> None:
        """Write the object beside its place and then move it there in one step.

        Raises:
            DatasetError: The object is of another class than ``kind``.
        """
        if not isinstance(data, self._class()):
            raise DatasetError(f"expected a {self._kind}, got a {type(data).__qualname__}")
        target = Path(self._get_save_path())
        partial = target.with_name(f".{target.name}.saving")
        shutil.rmtree(partial, ignore_errors=True)  # a killed run may have left one
        partial.mkdir(parents=True)
        try:
            data.save_pretrained(partial)
            text = json.dumps(data.summary(), indent=2, sort_keys=True)
            (partial / self.summary_name).write_text(text + "\n", encoding="utf-8")
            _move_into_place(partial, target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def preview(self) -> JSONPreview:
        """The summary as JSON text, for Kedro-Viz; the object itself is not read."""
        folder = whole_folder(Path(self._get_load_path()))
        return JSONPreview((folder / self.summary_name).read_text(encoding="utf-8"))

    def _class(self) -> Any:
        """Import the class, which may pull in heavy libraries."""
        module, _, name = self._kind.rpartition(".")
        try:
            return getattr(importlib.import_module(module), name)
        except (AttributeError, ValueError, ModuleNotFoundError) as error:
            raise DatasetError(f"kind: cannot import {self._kind!r} ({error})") from error

    def _exists(self) -> bool:
        return whole_folder(Path(self._get_load_path())).is_dir()

    def _describe(self) -> dict[str, Any]:
        return {
            "filepath": self._filepath,
            "kind": self._kind,
            "load_args": self._load_args,
            "version": self._version,
        }


def _move_into_place(partial: Path, target: Path) -> None:
    """Put a finished folder at its place; what was there goes only after that.

    A folder cannot take another's place in one step. A kill between the two steps leaves the old
    folder aside, where :func:`whole_folder` finds it until the next save has put a new one in its
    place.
    """
    old = _aside(target)
    if target.exists():
        shutil.rmtree(old, ignore_errors=True)
        os.replace(target, old)
    os.replace(partial, target)
    shutil.rmtree(old, ignore_errors=True)


def _aside(target: Path) -> Path:
    return target.with_name(f".{target.name}.old")


def whole_folder(target: Path) -> Path:
    """The folder to read: the one at its place, or what a killed save has set aside."""
    return _aside(target) if not target.exists() and _aside(target).is_dir() else target
