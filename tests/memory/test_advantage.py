from dataclasses import replace

import numpy as np
import pytest
import torch

from domains import H, L
from tsmemory.memory.advantage import predict_advantage
from tsmemory.memory.objective import Batch, median_errors
from tsmemory.memory.ridge import blocked_folds
from tsmemory.memory.split import Split
from tsmemory.teacher.synthesis import TeacherTargets

MEDIAN = 4


class Told:
    """A teacher that says what it is told to."""

    def __init__(self, quantiles, confidence):
        self.confidence = np.asarray(confidence, dtype=np.float32)
        self._quantiles = np.asarray(quantiles, dtype=np.float32)

    def quantiles(self, which):
        return self._quantiles[which]


def realised(split, targets):
    _, target, quantiles, _ = split.tensors()
    every = np.arange(len(target))
    batch = Batch(
        target,
        quantiles,
        torch.from_numpy(targets.quantiles(every)),
        torch.from_numpy(targets.confidence),
    )
    teacher, backbone, _ = median_errors(batch, MEDIAN)
    return (backbone - teacher).numpy()


@pytest.fixture(scope="module")
def telling(domain):
    """A teacher whose confidence tells whether it is nearer to the truth or farther."""
    _, target, quantiles, _ = domain.train.tensors()
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.05, 1, len(target)).astype(np.float32)
    better = confidence + rng.normal(0, 0.1, len(target)) > 0.5
    gap = (target - quantiles[:, MEDIAN]).numpy()
    step = np.where(better[:, None], gap, -gap)
    return Told(quantiles.numpy() + 0.5 * step[:, None], confidence), better


def test_it_sees_what_tells(domain, telling):
    targets, better = telling
    predicted = predict_advantage(domain.train, targets, folds=4)
    assert predicted.dtype == np.float32
    assert ((predicted > 0) == better).mean() > 0.85
    truth = realised(domain.train, targets)
    assert np.corrcoef(predicted, truth)[0, 1] > 0.6


def test_noise_tells_little(domain, telling):
    targets, _ = telling
    shuffled = np.random.default_rng(1).permutation(targets.confidence)
    predicted = predict_advantage(
        domain.train, Told(targets.quantiles(slice(None)), shuffled), folds=4
    )
    truth = realised(domain.train, targets)
    assert abs(np.corrcoef(predicted, truth)[0, 1]) < 0.3


def test_it_is_bounded_by_the_distance_of_the_medians(domain):
    targets = TeacherTargets(domain.teacher, domain.train.windows, domain.neighbours)
    predicted = predict_advantage(domain.train, targets, folds=3)
    every = np.arange(len(predicted))
    backbone = domain.train.forecasts.quantiles[:, MEDIAN]
    apart = np.nanmean(np.abs(targets.quantiles(every)[:, MEDIAN] - backbone), axis=1)
    assert (np.abs(predicted) <= apart * (1 + 1e-5)).all()


def test_a_window_does_not_know_its_own_stretch_of_time(domain, telling):
    """Other values anywhere in a fold change nothing of what is predicted there."""
    targets, _ = telling
    folds = 3
    before = predict_advantage(domain.train, targets, folds=folds)
    windows, series = domain.train.windows, domain.train.series
    members = blocked_folds(windows, series, folds)[1]
    calendar = windows.calendar(series)[members]
    flat = series.flat.copy()
    for offset in series.offset:
        first, last = calendar.min() + L, calendar.max() + L + H
        flat[offset + first : offset + last] += 7
    # Contexts stay as they were, so that only the targets tell of the change.
    changed = Changed(replace(series, flat=flat), windows, domain.train.forecasts, domain.train)
    after = predict_advantage(changed, targets, folds=folds)
    np.testing.assert_array_equal(after[members], before[members])
    others = np.setdiff1d(np.arange(len(windows)), members)
    assert (after[others] != before[others]).any()


class Changed(Split):
    """Targets of changed rows under the contexts of the old ones."""

    def __init__(self, series, windows, forecasts, old):
        super().__init__(series, windows, forecasts)
        object.__setattr__(self, "old", old)

    def take(self, which):
        part = super().take(which)
        return Changed(part.series, part.windows, part.forecasts, self.old.take(which))

    def tensors(self):
        _, target, quantiles, keys = super().tensors()
        return self.old.tensors()[0], target, quantiles, keys


def test_without_a_teacher_or_other_times_nothing_is_said(domain, telling):
    targets, _ = telling
    silent = targets.quantiles(slice(None)).copy()
    silent[5:9] = np.nan
    predicted = predict_advantage(domain.train, Told(silent, targets.confidence), folds=4)
    assert np.isnan(predicted).nonzero()[0].tolist() == [5, 6, 7, 8]
    first = domain.train.windows.calendar(domain.train.series) < L + H
    short = domain.train.take(np.flatnonzero(first))  # every window overlaps every other
    told = Told(targets.quantiles(first), targets.confidence[first])
    assert np.isnan(predict_advantage(short, told, folds=2)).all()
