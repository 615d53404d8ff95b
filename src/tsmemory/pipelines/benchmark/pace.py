"""Says how long the rows of the ablation will take: before they begin, and after the first."""

import logging
from collections.abc import Mapping

from tsmemory.pipelines.benchmark.main_way import MainWay
from tsmemory.pipelines.benchmark.rows import Settings

logger = logging.getLogger(__name__)


class Pace:
    """Estimates of the rows' durations.

    The row of the paper profile is estimated from one training step of its adapter. All others take
    about as long as the first one.

    Attributes:
        settings: Parameters of each row.
    """

    def __init__(self, main_way: MainWay, settings: Mapping[str, Settings]) -> None:
        """Prepare; nothing is timed yet.

        Args:
            main_way: What rows are made from.
            settings: Parameters of each row, in their order, the default's first.
        """
        self.settings = settings
        self._main_way = main_way
        self._paper_seconds = 0.0
        self._told = False

    def announce(self) -> None:
        """Say what lies ahead, as far as it is known before the first row."""
        from tsmemory.evaluation.pace import in_words

        first = next(iter(self.settings.values())).distillation
        said = (
            f"Ablation: {len(self.settings)} rows, {len(first.seeds)} seed(s) each, at most "
            f"{first.training.epochs} epochs on {len(self._main_way.train_forecasts)} training "
            "windows; the first row will tell how long the others take"
        )
        paper = [row for row in self.settings.values() if _is_paper(row)]
        if paper:
            self._paper_seconds = sum(self._probe(row) for row in paper)
            said += f" (the paper profile takes at most about {in_words(self._paper_seconds)})"
        logger.info("%s. A run that is stopped goes on at the row it was at.", said)

    def took(self, name: str, seconds: float) -> None:
        """Say after the first row how long the rows after it will take.

        Args:
            name: The row that is finished.
            seconds: What it took.
        """
        from tsmemory.evaluation.pace import in_words

        names = list(self.settings)
        left = [self.settings[after] for after in names[names.index(name) + 1 :]]
        if self._told or not left:
            return
        self._told = True
        total = sum(self._paper_seconds if _is_paper(row) else seconds for row in left)
        logger.info(
            "Ablation: row %s took %s; the %d after it will take about %s",
            name,
            in_words(seconds),
            len(left),
            in_words(total),
        )

    def _probe(self, row: Settings) -> float:
        """Seconds of training a row of the paper profile, if it does not stop early."""
        from tsmemory.evaluation.pace import probe_training
        from tsmemory.memory.profiles import configure_adapter

        forecasts, given = self._main_way.train_forecasts, row.distillation
        config = configure_adapter(
            given.profile,
            given.adapter,
            given.paper_adapter,
            context_length=row.windowing.context_length,
            horizon=row.windowing.longest,
            quantile_levels=forecasts.levels,
            key_length=int(forecasts.keys.shape[1]),
            block=given.fusion.block,
        )
        first = next(iter(self.settings.values())).windowing
        every = row.windowing.strides.train // first.strides.train
        windows = len(forecasts) // every
        return probe_training(config, windows * given.training.epochs * len(given.seeds))


def _is_paper(row: Settings) -> bool:
    return row.distillation.profile == "paper"
