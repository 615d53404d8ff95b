"""Which forecasts the fusion ends with, on domains where the answer is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from builders import LEVELS
from domains import Domain, H
from tsmemory.memory.adapter import AdapterConfig, MemoryAdapter
from tsmemory.memory.closed_form import fit_closed_form
from tsmemory.memory.config import FusionConfig, GateConfig, GuardConfig
from tsmemory.memory.fusion_fit import fit_fusion
from tsmemory.memory.split import memory_parts
from tsmemory.metrics import last_value, seasonal_naive

L, BLOCK, SEASON, MEDIAN = 32, 4, 24, LEVELS.index(0.5)


class Chosen:
    """A domain with its closed form as memory, and the fusion that validation chooses."""

    def __init__(self, domain, *, spoil=None, **settings):
        self.domain = domain
        if spoil is not None:
            for name in ("train", "validation"):
                setattr(domain, name, spoil(getattr(domain, name)))
        self.config = FusionConfig(block=BLOCK, **settings)
        self.closed_form = fit_closed_form(
            domain.train_windows,
            domain.train,
            domain.validation_windows,
            penalties=(10.0, 1e3, 1e5),
            folds=4,
            config=self.config,
        )
        keys = domain.train.forecasts.keys.shape[1]
        self.adapter = MemoryAdapter(AdapterConfig(L, H, LEVELS, keys, block=BLOCK))
        start = self.closed_form.start
        self.adapter.start_from(self.closed_form.ridge, torch.tensor(start.factor))
        self.fitted, self.later = self._halves()
        self.fusion = self.fit()

    def _halves(self):
        windows = self.domain.validation_windows
        middle = int(np.median(windows.origin))
        earlier = self.domain.validation.take(np.flatnonzero(windows.origin + H <= middle))
        return earlier, self.domain.validation.take(np.flatnonzero(windows.origin >= middle))

    def fit(self, windows=None, training=True, **settings):
        split = self.fitted if windows is None else self.fitted.take(windows)
        return fit_fusion(
            memory_parts(split, self.adapter),
            split.windows.calendar(split.series) + L,
            levels=LEVELS,
            horizon=H,
            stride=1,
            config=replace(self.config, **settings),
            rng=np.random.default_rng(0),
            season=SEASON,
            training=self.closed_form.out_of_fold if training else None,
        )

    def judge(self, fusion=None):
        """Targets and fused quantiles of the windows that were not fitted on."""
        target, quantiles = [], []
        for part in memory_parts(self.later, self.adapter)():
            target.append(part.target)
            quantiles.append(part.fuse(self.fusion if fusion is None else fusion, MEDIAN))
        return torch.cat(target).numpy(), torch.cat(quantiles).numpy()

    def error(self, point):
        contexts, target = (
            self.later.windows.contexts(self.later.series),
            self.later.windows.targets(self.later.series),
        )
        return float(np.mean((point(contexts) - target) ** 2))


def walk_domain():
    rng = np.random.default_rng(11)
    rows = [np.cumsum(rng.normal(size=900)).astype(np.float32) / 10 for _ in range(3)]
    return Domain(rows, 500)


def daily_domain():
    """A season of a day that changes from day to day as a whole: only yesterday tells of it."""
    rng = np.random.default_rng(12)
    rows = []
    for _ in range(3):
        shape = np.cumsum(0.6 * rng.normal(size=(40, 24)), axis=0)
        rows.append((shape.ravel() + 0.1 * rng.normal(size=960)).astype(np.float32))
    return Domain(rows, 500)


def nonsense(split):
    """A backbone that cannot read the contexts: its forecasts have nothing to do with them."""
    rng = np.random.default_rng(13)
    quantiles = np.sort(rng.normal(0, 4, split.forecasts.quantiles.shape), axis=1)
    forecasts = replace(split.forecasts, quantiles=quantiles.astype(np.float32))
    return replace(split, forecasts=forecasts)


@pytest.fixture(scope="module")
def walk():
    return Chosen(walk_domain(), spoil=nonsense)


@pytest.fixture(scope="module")
def plain_walk():
    return Chosen(walk_domain())


def test_a_random_walk_ends_near_the_last_value(walk):
    memory, last = np.array([walk.fusion.location, walk.fusion.naive.last_value])
    assert last.min() > 0.6
    assert (memory + last).min() > 0.9  # the ridge of a walk says much the same
    target, quantiles = walk.judge()
    ours = np.mean((quantiles[:, MEDIAN] - target) ** 2)
    assert ours < 1.06 * walk.error(lambda contexts: last_value(contexts, H))
    assert not any(walk.fusion.naive.long_run)  # a walk has no level to come home to
    assert "last value" in walk.fusion.describe()


def test_a_backbone_that_fails_on_a_seasonal_domain_ends_near_the_seasonal_naive():
    chosen = Chosen(daily_domain(), spoil=nonsense)
    assert min(chosen.fusion.naive.seasonal) > 0.5
    target, quantiles = chosen.judge()
    ours = np.mean((quantiles[:, MEDIAN] - target) ** 2)
    naive = chosen.error(lambda contexts: seasonal_naive(contexts, H, SEASON))
    assert ours < 1.05 * naive
    assert ours < 0.5 * np.mean((chosen.later.forecasts.quantiles[:, MEDIAN] - target) ** 2)


@pytest.mark.parametrize("case", ["walk", "plain_walk"])
def test_the_band_covers_what_it_says_on_windows_that_were_not_fitted_on(case, request):
    target, quantiles = request.getfixturevalue(case).judge()
    covered = (quantiles[:, 0] <= target) & (target <= quantiles[:, -1])
    assert 0.7 <= covered.mean() <= 0.9
    assert (np.diff(quantiles, axis=1) >= 0).all()


def test_validation_too_short_to_judge_is_helped_by_training(walk):
    few = np.flatnonzero(np.isin(walk.fitted.windows.origin, walk.fitted.windows.origin[:6]))
    fusion = walk.fit(few)
    assert not fusion.is_idle
    assert fusion.report["guard"]["whole"][-1]["judged_on"] == "training"
    assert walk.fit(few, training=False).is_idle
    assert walk.fit(few, training_weight=0.0).is_idle


def test_few_stretches_of_validation_keep_near_the_weights_of_training(walk):
    loose, tight = (
        walk.fit(training_weight=weight, guard=GuardConfig(enabled=False)) for weight in (0.1, 1e6)
    )
    mixed = walk.closed_form.out_of_fold.mixed
    # Validation may veto a part of what training windows want, but adds nothing of its own.
    np.testing.assert_allclose(tight.naive.last_value, mixed[1], atol=1e-2)
    assert np.abs(np.array(loose.naive.last_value) - mixed[1]).max() > 1e-1


def test_what_is_not_wanted_is_not_used():
    unwanted = dict.fromkeys(("last_value", "seasonal_naive", "long_run", "residuals"), False)
    fusion = Chosen(walk_domain(), spoil=nonsense, groups="none", **unwanted).fusion
    assert not fusion.is_idle
    assert fusion.naive is None
    assert fusion.residuals is None
    assert not fusion.channels
    assert not fusion.needs_contexts


def test_the_gate_is_part_of_the_choice(walk):
    gate = GateConfig(max_volatility=0.0)
    fusion = walk.fit(gate=gate)
    assert fusion.gate == gate
    assert fusion.is_idle  # it is shut everywhere, so nothing helps


def test_the_report_says_what_was_chosen_and_why(walk):
    report = walk.fusion.report
    assert report["shares"] == walk.fusion.explain()
    assert set(report["guard"]) >= {"location", "naive", "spread", "whole"}
    assert all(len(lines) == 3 for lines in report["guard"].values())


def test_one_seed_gives_one_answer(walk):
    assert walk.fit() == walk.fusion


def channel_domain():
    """One channel follows its last value, the other its season; both to the same size."""
    rng = np.random.default_rng(14)
    wander = np.cumsum(rng.normal(size=900)) / 5
    shape = np.cumsum(0.6 * rng.normal(size=(40, 24)), axis=0).ravel()[:900]
    rows = [row.astype(np.float32) for row in (wander, shape)]
    domain = Domain(rows, 500)
    named = replace(domain.series, channel=np.array(["walk", "day"], dtype=object))
    domain.series = named
    for name in ("train", "validation"):
        setattr(domain, name, replace(getattr(domain, name), series=named))
    return domain


def test_channels_that_differ_get_weights_of_their_own():
    # Training windows speak for all channels at once: here they had better speak softly.
    chosen = Chosen(channel_domain(), spoil=nonsense, training_weight=0.1)
    channels = chosen.fusion.channels
    assert channels["walk"].last_value[0] > channels["day"].last_value[0] + 0.2
    assert channels["day"].seasonal[0] > channels["walk"].seasonal[0] + 0.2
    target, ours = chosen.judge()
    _, shared = chosen.judge(chosen.fit(groups="none"))
    errors = [np.mean((q[:, MEDIAN] - target) ** 2) for q in (ours, shared)]
    assert errors[0] < 0.97 * errors[1]
