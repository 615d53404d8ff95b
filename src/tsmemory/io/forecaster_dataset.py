"""A forecaster that was saved, here or elsewhere, as an input that counts by its content."""

from pathlib import Path
from typing import Any, NoReturn

from kedro.io.core import DatasetError

from tsmemory.fingerprint import digest, sha256_of_path
from tsmemory.io.folder_dataset import FolderDataset, whole_folder

KIND = "tsmemory.memory.forecaster.MemoryForecaster"


class ForecasterDataset(FolderDataset):
    """Reads a :class:`tsmemory.MemoryForecaster`, whatever parameters and code it was made with.

    Example:
        .. code-block:: yaml

            saved_forecaster:
              type: tsmemory.io.ForecasterDataset
              filepath: data/06_models/my_domain/forecaster
    """

    def __init__(
        self,
        *,
        filepath: str,
        source: str | None = None,
        backbone: str | None = None,
        device: str = "cpu",
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Say where it is; nothing is imported or read yet.

        Args:
            filepath: Its folder.
            source: Another folder, relative to where the command is run, or a hub id.
            backbone: Where its backbone is, if it is not where the forecaster says.
            device: Torch device.
            metadata: Free; Kedro-Viz reads its layer here.
        """
        super().__init__(filepath=filepath, kind=KIND, metadata=metadata)
        self._source = source
        self._backbone = backbone
        self._device = device

    def load(self) -> Any:
        """Read the forecaster.

        Raises:
            DatasetError: There is none at the place where runs leave it.
            ForecasterError: See :meth:`tsmemory.MemoryForecaster.from_pretrained`.
        """
        folder = whole_folder(Path(self._get_load_path()))
        if self._source is None and not folder.is_dir():
            from tsmemory.memory.errors import ForecasterError

            raise ForecasterError(
                f"{folder}: no forecaster here; make it with `kedro run` (and the same --env and "
                "--params), name the domain that has one with `domain=<name>`, or the forecaster "
                "itself with `forecasting.artefact=<folder or hub id>`"
            )
        return self._class().from_pretrained(
            self._source or folder, backbone=self._backbone, device=self._device
        )

    def save(self, data: NoReturn) -> None:
        """Refuse: the pipeline that makes it has an entry of its own.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError(f"{self._filepath} is read here, and written under another name")

    def content_fingerprint(self) -> str | None:
        """Digest of the artefact, of a backbone given beside it and of the device.

        The artefact holds the fingerprint of the backbone that it was made for, and refuses others.

        Returns:
            ``None`` where it is not on this machine, or not yet.
        """
        from tsmemory.backbones.registry import backbone_fingerprint

        folder = self._folder()
        backbone = self._backbone and backbone_fingerprint(self._backbone)
        if folder is None or (self._backbone and backbone is None):
            return None
        return digest([sha256_of_path(folder), backbone, self._device])

    def _folder(self) -> Path | None:
        """Where the artefact is, as far as it is on this machine."""
        from tsmemory.backbones.weights import find_local_weights

        if self._source is not None:
            return find_local_weights(self._source)
        folder = whole_folder(Path(self._get_load_path()))
        return folder if folder.is_dir() else None

    def _exists(self) -> bool:
        return self._folder() is not None

    def _describe(self) -> dict[str, Any]:
        return {
            "filepath": self._filepath,
            "source": self._source,
            "backbone": self._backbone,
            "device": self._device,
        }
