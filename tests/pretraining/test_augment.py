import pytest
import torch

from tsmemory.pretraining import augment
from tsmemory.pretraining.draws import Draws, standardise

N, LENGTH = 200, 300
CHANGES = [
    augment.bend_values,
    augment.censor,
    augment.disturb,
    augment.follow_slowly,
    augment.lose,
    augment.mix,
    augment.warp_time,
]


@pytest.fixture
def draws():
    return Draws(11)


@pytest.fixture
def series():
    return standardise(Draws(12).normal(N, LENGTH).cumsum(dim=1))


@pytest.fixture
def clock():
    """Rows whose value is the step: what becomes of them is where time has gone."""
    return torch.arange(LENGTH, dtype=torch.float32).repeat(N, 1)


@pytest.mark.parametrize("change", CHANGES)
def test_a_share_of_none_changes_nothing(change, draws, series):
    made = change(draws, series, 0.0)
    torch.testing.assert_close(made, series, atol=1e-5, rtol=0)


@pytest.mark.parametrize("change", CHANGES)
def test_about_the_share_of_rows_changes(change, draws, series):
    made = change(draws, series, 0.3)
    assert made.shape == series.shape
    same = torch.isclose(made, series, atol=1e-4).all(dim=1)
    # Some do two things, each to its own share of the rows; a cut may lie beyond all values.
    assert 0.1 < 1 - float(same.float().mean()) < 0.75


@pytest.mark.parametrize("change", CHANGES)
def test_a_seed_gives_one_change(change, series):
    one, again, other = (change(Draws(seed), series, 0.5) for seed in (1, 1, 2))
    torch.testing.assert_close(one, again, atol=0, rtol=0, equal_nan=True)
    assert not torch.equal(one.nan_to_num(9), other.nan_to_num(9))


@pytest.mark.parametrize("change", [c for c in CHANGES if c is not augment.lose])
def test_nothing_is_lost_by_what_does_not_lose(change, draws, series):
    assert change(draws, series, 1.0).isfinite().all()


def test_mixtures_are_convex(draws, monkeypatch):
    monkeypatch.setattr(augment, "standardise", lambda made: made)
    basis = torch.eye(N)  # of each row its own direction: a mixture shows its weights
    weights = augment.mix(draws, basis, 1.0)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(N))
    assert weights.min() >= 0
    parts = (weights > 0).sum(dim=1)
    assert parts.max() == 3
    assert (parts == 2).any()


def test_time_moves_forwards_and_never_faster_than_it_did(draws, clock):
    place = augment.warp_time(draws, clock, 1.0)
    pace = place.diff(dim=1)
    assert pace.min() >= 0
    held = (place == place.round()).all(dim=1)
    assert 0.1 < float(held.float().mean()) < 0.4
    assert pace[~held].max() <= 1 + 1e-4
    assert pace[~held].min() > 0
    assert place[:, 0].min() >= 0
    assert place.max() <= LENGTH - 1
    bent = pace[~held].amax(dim=1) - pace[~held].amin(dim=1) > 0.01
    assert bent.any()
    assert not bent.all()


def test_cut_series_stay_within_their_bounds(draws, series):
    made = augment.censor(draws, series, 1.0)
    raised, lowered = made > series, made < series
    lowest, highest = made.amin(dim=1, keepdim=True), made.amax(dim=1, keepdim=True)
    # What was cut lies at the bound, what was not is as it was.
    assert (made == lowest)[raised].all()
    assert (made == highest)[lowered].all()
    assert raised.any()
    assert lowered.any()
    assert lowest.min() >= -2
    assert highest[lowered.any(dim=1)].max() <= 2


def test_lost_values_are_missing_and_all_others_stay(draws, series):
    made = augment.lose(draws, series, 0.5)
    gone = made.isnan()
    assert gone.any()
    assert torch.equal(made[~gone], series[~gone])
    run = torch.zeros(N)
    longest = torch.zeros(N)
    for step in range(LENGTH):
        run = torch.where(gone[:, step], run + 1, 0)
        longest = torch.maximum(longest, run)
    assert longest.max() >= 20  # stretches
    assert ((gone.sum(dim=1) > 0) & (longest <= 3)).any()  # single steps


def test_inertia_makes_neighbours_alike(draws):
    noise = standardise(draws.normal(N, LENGTH))
    slow = augment.follow_slowly(draws, noise, 1.0)
    likeness = (slow[:, 1:] * slow[:, :-1]).mean(dim=1)
    assert likeness.min() > 0.15
    assert (noise[:, 1:] * noise[:, :-1]).mean(dim=1).max() < 0.3


def test_inertia_is_an_exponential_average(monkeypatch, draws):
    """Against the recursion, far from where the two ends of the transform meet."""
    share = torch.full((3, 1), 0.2)
    monkeypatch.setattr(Draws, "log_uniform", lambda *_: share)
    series = draws.normal(3, 200)
    expected, state = torch.empty(3, 200), torch.zeros(3)
    for value in range(200, 0, -1):  # the mirrored past
        state = 0.8 * state + series[:, value - 1]
    for step in range(200):
        state = 0.8 * state + series[:, step]
        expected[:, step] = state
    made = augment.follow_slowly(draws, series, 1.0)
    torch.testing.assert_close(made, standardise(expected), atol=1e-4, rtol=0)


def test_disturbed_series_have_spikes_outages_or_a_grid(draws, series):
    made = augment.disturb(draws, series, 1.0)
    distinct = torch.tensor([len(row.unique()) for row in made])
    assert distinct.max() < LENGTH  # all rounded
    assert (made.abs().amax(dim=1) > 1.5 * series.abs().amax(dim=1)).any()
