"""The forecaster: how a backbone's memory is made, kept and loaded."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from tsmemory.backbones import Backbone
from tsmemory.memory.artefact import read_artefact, write_artefact
from tsmemory.memory.card import is_portable, write_card
from tsmemory.memory.fit_config import FitConfig
from tsmemory.memory.frames import target_names
from tsmemory.memory.fused_model import whole_steps
from tsmemory.memory.hub import push_folder
from tsmemory.memory.parts import QUANTILE_LEVELS, choose_backbone, read_backbone, read_memory
from tsmemory.memory.table_model import TableModel

__all__ = ["QUANTILE_LEVELS", "MemoryForecaster"]

logger = logging.getLogger(__name__)


class MemoryForecaster(TableModel):
    """Forecasts with a frozen backbone and the memory of one domain.

    Nothing is retrieved when forecasting, and nothing changes: one forecaster may be used from
    several threads. Values are taken and returned in the user's own unit. What it is made of is in
    the attributes of :class:`tsmemory.memory.fused_model.FusedModel`.

    Example:
        >>> MemoryForecaster.fit(df, prediction_length=24).save_pretrained("my_forecaster")
        >>> forecaster = MemoryForecaster.from_pretrained("my_forecaster")
        >>> table = forecaster.predict_df(df, prediction_length=24)
    """

    @classmethod
    def fit(
        cls,
        df: pd.DataFrame,
        *,
        prediction_length: int,
        id_column: str = "item_id",
        timestamp_column: str = "timestamp",
        target: str | Sequence[str] = "target",
        freq: str | None = None,
        backbone: Backbone | str | Path = "bundled",
        backbone_options: Mapping[str, Any] | None = None,
        context_length: int = 512,
        validation_share: float = 0.2,
        config: FitConfig | None = None,
        seed: int = 0,
        domain: str | None = None,
        device: str = "cpu",
        cache_folder: str | Path | None = None,
    ) -> "MemoryForecaster":
        """Make a memory of a long table: the steps of the pipelines, without Kedro.

        The last part of each series is validation: it chooses and guards, and nothing is learnt
        from it. No test split is held back: leave out of ``df`` what you want to judge it on.

        Args:
            df: The table, as for :meth:`predict_df`; series may differ in length.
            prediction_length: H, the longest horizon that the memory corrects.
            id_column: Column of identifiers; see :meth:`predict_df`.
            timestamp_column: Column of timestamps.
            target: Column to learn, or several, each with weights of its own.
            freq: The step; see :meth:`predict_df`.
            backbone: The frozen model, or what :func:`tsmemory.load_backbone` makes it from.
            backbone_options: Further arguments of ``load_backbone``; by default the levels are the
                nine deciles.
            context_length: L, steps of context. A series has to hold L + H of them for training.
            validation_share: Share of each series that validates. Long horizons need at least two,
                better five of them in it.
            config: All other settings.
            seed: Of everything random.
            domain: Name of the dataset, for people.
            device: Torch device of the backbone.
            cache_folder: Where unfinished work, the backbone's answers and the training windows are
                kept, for the next fit (one at a time) and for :meth:`explain`.

        Returns:
            The forecaster. Its :meth:`report` says what the guard decided.

        Raises:
            ForecasterError: A table that cannot be read or from which there is nothing to learn, a
                backbone that cannot be loaded, settings that cannot be met.
        """
        from tsmemory.memory.fit_data import read_fit_data
        from tsmemory.memory.fitting import make_memory

        config = FitConfig() if config is None else config
        data = read_fit_data(
            df,
            id_column=id_column,
            timestamp_column=timestamp_column,
            targets=target_names(target),
            freq=freq,
            context_length=whole_steps("context_length", context_length),
            horizon=whole_steps("prediction_length", prediction_length),
            validation_share=validation_share,
            config=config,
        )
        chosen = choose_backbone(backbone, backbone_options, data.series.freq, device)
        folder = None if cache_folder is None else Path(cache_folder)
        found = make_memory(data, chosen, config, seed, folder)
        forecaster = cls(
            chosen.backbone,
            found.adapter.to(device),
            found.fusion,
            found.series,
            backbone_source=chosen.source,
            domain=domain,
            backbone_options=chosen.options,
            provenance=found.provenance,
        )
        forecaster.training_windows = found.windows
        return forecaster

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``config.json``, ``model.safetensors`` and a model card, ``README.md``.

        The backbone is named, not copied. A card that you have made your own is left as it is.
        """
        config, backbone = self._config(), self.backbone
        about = {
            "licence": backbone.licence,
            "pretraining_data": backbone.pretraining_data.description,
        }
        state = self.adapter.state_dict()
        write_artefact(Path(folder), config, state, card=write_card(config, about))

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        token: str | None = None,
        commit_message: str = "Add tsmemory forecaster",
    ) -> str:
        """Put what :meth:`save_pretrained` writes on the Hugging Face hub.

        ``config.json`` holds the identifiers, training means and deviations of the series.

        Args:
            repo_id: ``owner/name``; made if it does not exist.
            private: Whether a new repository is private; the owner's default if not given.
            token: Access token; that of ``hf auth login`` if not given.
            commit_message: Of the commit.

        Returns:
            Address of the commit.

        Raises:
            ForecasterError: No hub id, no network, or the hub refuses.
        """
        if not is_portable(self.backbone_source):
            logger.warning(
                "The backbone %r lies on this machine alone: who pulls %s has to give it as "
                "from_pretrained(backbone=)",
                self.backbone_source,
                repo_id,
            )
        with TemporaryDirectory(prefix="tsmemory_") as folder:
            self.save_pretrained(folder)
            return push_folder(
                Path(folder), repo_id, private=private, token=token, message=commit_message
            )

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        backbone: Backbone | str | Path | None = None,
        device: str = "cpu",
        revision: str | None = None,
    ) -> "MemoryForecaster":
        """Load what :meth:`save_pretrained` wrote.

        Args:
            source: The folder, a Kedro-versioned folder (its latest version), or a hub id.
            backbone: The backbone, or where to load it from; that which the forecaster names if
                not given.
            device: Torch device of the adapter and of a backbone that is loaded here.
            revision: Branch, tag or commit on the hub.

        Returns:
            The forecaster.

        Raises:
            ForecasterError: Files that are missing, truncated, changed or of another format
                version; a backbone that cannot be loaded or is not the one it was made for.
        """
        config, state = read_artefact(source, revision)
        adapter, fusion, series = read_memory(config, state)
        about = config["backbone"]
        return cls(
            read_backbone(about, backbone, device),
            adapter.to(device),
            fusion,
            series,
            backbone_source=str(backbone) if isinstance(backbone, (str, Path)) else about["source"],
            domain=config["domain"],
            backbone_options=about["options"],
            provenance=config.get("provenance"),
        )
