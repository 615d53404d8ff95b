"""A small domain with everything that distillation and evaluation need."""

import numpy as np

from builders import LEVELS, seasonal_rows, series_of, windows_over
from tsmemory.backbones import load_backbone
from tsmemory.memory.forecasts import forecast_windows
from tsmemory.memory.split import Split
from tsmemory.retrieval.datastore import Datastore
from tsmemory.retrieval.keys import KeyConfig, window_keys
from tsmemory.series.windows import Windows
from tsmemory.teacher.neighbours import find_neighbours
from tsmemory.teacher.synthesis import Teacher

L, H = 32, 10


class Domain:
    """A small domain with everything that distillation needs."""

    def __init__(self, rows, train_end, *, calendar=None, season=8):
        self.series = series_of(rows, calendar=calendar)
        every = windows_over(self.series, L, H)
        inside = every.origin + H <= train_end
        later = every.origin >= train_end
        self.train_windows = self._limited(every.take(np.flatnonzero(inside)), train_end)
        self.validation_windows = every.take(np.flatnonzero(later))
        self.backbone = load_backbone("seasonal_naive", season=season)
        self.train = self._split(self.train_windows)
        self.validation = self._split(self.validation_windows)
        keys = window_keys(self.train_windows.contexts(self.series))
        self.store = Datastore.build(
            keys,
            self.train_windows,
            self.series,
            key=KeyConfig("window"),
            index_kind="flat",
            same_channel=True,
        )
        self.neighbours = find_neighbours(
            self.store,
            self.train.forecasts.keys,
            self.train_windows,
            self.series,
            k=8,
            k_min=3,
            temperature=0.12,
            embargo="overlap",
            shard_size=200,
        )
        self.teacher = Teacher(self.store, self.series, LEVELS, 8, "midpoint")

    @staticmethod
    def _limited(windows, end):
        limit = np.full(len(windows), end)
        return Windows(windows.row, windows.start, limit, windows.context_length, windows.horizon)

    def _split(self, windows):
        forecasts = forecast_windows(self.backbone, windows, self.series, shard_size=256)
        return Split(self.series, windows, forecasts)


def small_domain() -> Domain:
    """A season of 8 under noise and drift, on two rows: the seasonal naive can be corrected."""
    return Domain(seasonal_rows(np.random.default_rng(0), [420, 420]), 260)
