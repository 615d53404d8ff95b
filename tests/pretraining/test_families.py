import pytest
import torch

from tsmemory.pretraining.config import FAMILY_NAMES
from tsmemory.pretraining.draws import (
    Draws,
    ar1_response,
    coloured,
    fast_length,
    frequencies,
    standardise,
)
from tsmemory.pretraining.families import FAMILIES, RHYTHMS, _comb, levels, noises

LENGTH = 600


@pytest.fixture
def draws():
    return Draws(5)


def autocorrelation(series, lag):
    centred = series - series.mean(dim=1, keepdim=True)
    return (centred[:, lag:] * centred[:, :-lag]).mean() / centred.square().mean()


def test_names_are_known_without_torch():
    assert tuple(FAMILIES) == FAMILY_NAMES


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_families_are_finite_shaped_and_not_constant(family, draws):
    series = FAMILIES[family](draws, 64, LENGTH)
    assert series.shape == (64, LENGTH)
    assert series.dtype == torch.float32
    assert series.isfinite().all()
    constant = series.std(dim=1) == 0
    # Rare sales can be none at all within a window.
    assert constant.float().mean() <= (0.1 if family == "counts" else 0)


@pytest.mark.parametrize("family", FAMILY_NAMES)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_families_make_few_series_too(family, n):
    for seed in range(4):
        assert FAMILIES[family](Draws(seed), n, 50).isfinite().all()


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_a_seed_gives_one_family(family):
    one, again, other = (FAMILIES[family](Draws(seed), 16, 200) for seed in (3, 3, 4))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_counts_are_not_negative(draws):
    assert FAMILIES["counts"](draws, 128, LENGTH).min() >= 0


@pytest.mark.parametrize("make", [levels, noises])
def test_levels_and_noises_have_unit_variance(make, draws):
    series = make(draws, 128, LENGTH)
    assert series.mean(dim=1).abs().max() < 1e-4
    moving = series.std(dim=1) > 0  # stairs can have no step
    torch.testing.assert_close(
        series[moving].square().mean(dim=1), torch.ones(int(moving.sum())), atol=1e-3, rtol=0
    )


def test_shares_of_rhythms_are_whole():
    assert sum(share for *_, share in RHYTHMS) == pytest.approx(0.95)


@pytest.mark.parametrize("period", [24.0, 48.0, 7.0])
def test_quasi_periodic_power_lies_at_the_period_and_its_harmonics(period, draws, monkeypatch):
    column = torch.full((200, 1), period)
    monkeypatch.setattr(
        "tsmemory.pretraining.families._rhythms", lambda *_: (column, column, column)
    )
    length = 4032  # a multiple of every period
    size = fast_length(length)
    density = _comb(draws, 200, frequencies(size, draws.device), 1.0, length)
    series = standardise(coloured(draws.normal(200, size), density.sqrt(), length))
    power = torch.fft.rfft(series).abs().square().mean(dim=0)
    base = length / period
    assert abs(int(power.argmax()) - base) <= 1
    number = torch.arange(len(power)) / base
    near = (number - number.round().clamp(1, 6)).abs() < 0.1
    assert power[near].sum() > 0.7 * power.sum()
    assert near.float().mean() < 0.4


def test_calendars_repeat_after_their_cycle(draws, monkeypatch):
    column = torch.ones(256, 1)
    monkeypatch.setattr(
        "tsmemory.pretraining.families._rhythms",
        lambda *_: (24 * column, (7 * column).long(), 8766 * column),
    )
    series = standardise(FAMILIES["calendar"](draws, 256, 24 * 60))
    power = torch.fft.rfft(series).abs().square().mean(dim=0)
    # Above what wanders slowly, the strongest wave is the day.
    above = 20
    assert int(power[above:].argmax()) + above == 60
    assert autocorrelation(series, 24) > autocorrelation(series, 12) + 0.1


@pytest.mark.parametrize("persistence", [0.0, 0.5, 0.9])
def test_coloured_noise_has_the_autocorrelation_asked_for(persistence, draws):
    size = fast_length(2000)
    asked = torch.full((200, 1), persistence)
    series = coloured(draws.normal(200, size), ar1_response(asked, size), 2000)
    for lag in (1, 2, 5):
        assert float(autocorrelation(series, lag)) == pytest.approx(persistence**lag, abs=0.02)
    assert float(series.var()) == pytest.approx(1 / (1 - persistence**2), rel=0.05)


def test_colouring_nothing_gives_nothing(draws):
    size = fast_length(10)
    response = ar1_response(torch.zeros(0, 1), size)
    assert coloured(draws.normal(0, size), response, 10).shape == (0, 10)


def test_fast_lengths_are_twice_as_long():
    for length in range(2, 3000, 7):
        size = fast_length(length)
        assert size >= 2 * length
        assert size % 2 == 0
        odd = size
        while odd % 2 == 0:
            odd //= 2
        assert odd in (1, 3)


def test_standardise_leaves_constant_rows_at_zero():
    rows = torch.tensor([[1.0, 2.0, 3.0], [4.0, 4.0, 4.0]])
    made = standardise(rows)
    assert made[1].tolist() == [0, 0, 0]
    assert made[0].square().mean() == pytest.approx(1)


def test_smooth_joins_its_knots_by_lines(draws):
    path = draws.smooth(3, 101, 6)
    bends = (path[:, 2:] - 2 * path[:, 1:-1] + path[:, :-2]).abs() > 1e-5
    assert (bends.nonzero()[:, 1] + 1).unique().tolist() == [20, 40, 60, 80]


def test_choice_follows_its_weights(draws):
    counts = torch.bincount(draws.choice([1, 0, 3], 4000), minlength=3) / 4000
    assert counts.tolist() == pytest.approx([0.25, 0, 0.75], abs=0.03)
