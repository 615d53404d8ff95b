import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsmemory.metrics import (
    MIN_BLOCKS,
    block_length,
    moving_block_weights,
    n_blocks,
    one_sided_improvement,
    per_origin,
    ratio_interval,
    skill_interval,
    typical_step,
)
from tsmemory.metrics.bootstrap import _student_probability


def test_per_origin_adds_up_windows_in_time_order():
    rng = np.random.default_rng(0)
    time = rng.integers(0, 9, 50) * 7
    values = rng.normal(size=(50, 2, 3))
    times, sums = per_origin(values, time)
    assert times.tolist() == sorted(set(time.tolist()))
    for index, at in enumerate(times):
        np.testing.assert_allclose(sums[index], values[time == at].sum(axis=0))


def test_per_origin_takes_timestamps_and_single_values():
    time = np.array(["2024-01-02", "2024-01-01", "2024-01-02"], dtype="datetime64[D]")
    times, sums = per_origin(np.array([1.0, 2.0, 3.0]), time)
    assert times.tolist() == [time[1], time[0]]
    assert sums.tolist() == [2.0, 4.0]


def test_per_origin_of_no_windows_is_empty():
    times, sums = per_origin(np.zeros((0, 4)), np.zeros(0, dtype=np.int64))
    assert len(times) == 0
    assert sums.shape == (0, 4)


def test_per_origin_refuses_lengths_that_differ():
    with pytest.raises(ValueError, match="3 windows but 2 origin times"):
        per_origin(np.zeros(3), np.zeros(2))


@given(n=st.integers(1, 60), block=st.integers(1, 40), seed=st.integers(0, 999))
def test_weights_use_n_origins_in_consecutive_blocks(n, block, seed):
    weights = moving_block_weights(n, block, 20, np.random.default_rng(seed))
    if n_blocks(n, block) < 2:
        assert weights.shape == (0, n)
        return
    assert weights.shape == (20, n)
    starts = np.random.default_rng(seed).integers(0, n - block + 1, (20, math.ceil(n / block)))
    for line, sample in zip(weights, starts, strict=True):
        indices = np.concatenate([np.arange(start, start + block) for start in sample])[:n]
        np.testing.assert_array_equal(line, np.bincount(indices, minlength=n))


def test_every_resample_comes_apart_into_runs_of_neighbours():
    for line in moving_block_weights(30, 6, 50, np.random.default_rng(1)):
        for _ in range(5):
            first = np.flatnonzero(line)[0]
            line[first : first + 6] -= 1
            assert (line >= 0).all()
        assert not line.any()


def test_n_blocks_counts_whole_blocks():
    assert [n_blocks(n, 24) for n in (23, 24, 119, 120)] == [0, 1, 4, 5]
    with pytest.raises(ValueError, match="at least one origin"):
        n_blocks(5, 0)


@given(n=st.integers(0, 300), ahead=st.integers(1, 60), least=st.integers(1, 9))
def test_blocks_are_as_long_as_enough_of_them_fit(n, ahead, least):
    fitting = [length for length in (ahead, 2 * ahead) if length * least <= n]
    assert block_length(n, ahead, least) == max(fitting, default=None)
    assert block_length(n, ahead) == block_length(n, ahead, MIN_BLOCKS)


def test_block_lengths_at_the_borders():
    assert MIN_BLOCKS == 5
    lengths = [block_length(n, 24) for n in (0, 119, 120, 239, 240, 5000)]
    assert lengths == [None, None, 24, 24, 48, 48]


@pytest.mark.parametrize(
    ("times", "stride", "step"),
    [
        ([0, 6, 12, 18], 6, 6.0),
        ([0, 6, 12, 2, 8, 14], 6, 14 / 5),  # two series out of phase
        ([12, 0, 6, 0, 12, 6], 6, 6.0),  # two in phase, in any order
        ([0, 6, 12, 500, 506], 6, 6.0),  # a hole says nothing
        ([0, 50], 6, 6.0),
        ([7], 3, 3.0),
        ([], 4, 4.0),
    ],
)
def test_typical_step_is_the_mean_gap_within_a_stride(times, stride, step):
    found = typical_step(np.array(times, dtype=np.int64), stride)
    assert isinstance(found, float)
    assert found == pytest.approx(step)


@pytest.mark.parametrize(("blocks", "student"), [(5, 2.776), (7, 2.447), (10, 2.262), (41, 2.021)])
def test_intervals_are_widened_away_from_the_value(blocks, student):
    """As for a mean of so many observations; Student's quantiles are those of any table."""
    rng = np.random.default_rng(15)
    a, b, c, d = rng.exponential(size=(4, 40)) + 0.5
    weights = moving_block_weights(40, 8, 300, rng)
    factor = math.sqrt(blocks / (blocks - 1)) * student / 1.96

    ratio, plain = a.sum() / b.sum(), ratio_interval(a, b, weights)
    expected = [ratio + factor * (end - ratio) for end in plain]
    assert ratio_interval(a, b, weights, blocks=blocks) == pytest.approx(expected, rel=3e-3)
    assert plain[0] < ratio < plain[1]

    skill, *plain_skill = skill_interval(a, b, c, d, weights)
    expected = [skill + factor * (end - skill) for end in plain_skill]
    found = skill_interval(a, b, c, d, weights, blocks=blocks)
    assert found == pytest.approx((skill, *expected), abs=3e-3)
    assert plain_skill[0] < skill < plain_skill[1]


def test_widening_keeps_undefined_intervals_undefined():
    none = moving_block_weights(10, 6, 100, np.random.default_rng(5))
    assert all(map(math.isnan, ratio_interval(np.ones(10), np.ones(10), none, blocks=5.0)))
    ends = skill_interval(np.ones(10), np.ones(10), np.ones(10), np.ones(10), none, blocks=5.0)
    assert ends[0] == 0.0
    assert all(map(math.isnan, ends[1:]))


def test_intervals_match_a_loop_over_resamples():
    rng = np.random.default_rng(2)
    a, b, c, d = rng.uniform(1, 2, size=(4, 40))
    weights = moving_block_weights(40, 6, 200, rng)
    ratios, skills = [], []
    for line in weights:
        used = np.repeat(np.arange(40), line.astype(int))
        ratios.append(a[used].sum() / b[used].sum())
        skills.append(1 - ratios[-1] / (c[used].sum() / d[used].sum()))
    assert ratio_interval(a, b, weights, 0.9) == pytest.approx(np.quantile(ratios, [0.05, 0.95]))
    skill, low, high = skill_interval(a, b, c, d, weights, 0.9)
    assert skill == pytest.approx(1 - (a.sum() / b.sum()) / (c.sum() / d.sum()))
    assert (low, high) == pytest.approx(np.quantile(skills, [0.05, 0.95]))


def test_skill_against_itself_is_exactly_zero():
    rng = np.random.default_rng(3)
    a, b = rng.uniform(1, 2, size=(2, 30))
    weights = moving_block_weights(30, 5, 100, rng)
    assert skill_interval(a, b, a, b, weights) == (0.0, 0.0, 0.0)


def test_paired_resampling_cancels_what_methods_share():
    rng = np.random.default_rng(4)
    hard = rng.exponential(size=200)
    ones = np.ones(200)
    weights = moving_block_weights(200, 1, 300, rng)
    skill, low, high = skill_interval(0.9 * hard, ones, hard, ones, weights)
    assert (skill, low, high) == pytest.approx((0.1, 0.1, 0.1))


def test_intervals_are_undefined_without_enough_blocks_or_countable_values():
    few = moving_block_weights(10, 6, 100, np.random.default_rng(5))
    assert all(map(math.isnan, ratio_interval(np.ones(10), np.ones(10), few)))
    weights = moving_block_weights(10, 2, 100, np.random.default_rng(5))
    assert all(map(math.isnan, ratio_interval(np.zeros(10), np.zeros(10), weights)))
    skill = skill_interval(np.ones(10), np.ones(10), np.zeros(10), np.ones(10), weights)
    assert all(map(math.isnan, skill))


def test_interval_refuses_an_impossible_level():
    weights = moving_block_weights(10, 2, 5, np.random.default_rng(5))
    with pytest.raises(ValueError, match="between 0 and 1"):
        ratio_interval(np.ones(10), np.ones(10), weights, 95.0)


def test_p_value_is_that_of_student_t_over_a_loop_of_resamples():
    loss, reference = np.random.default_rng(13).normal(size=(2, 50))
    difference = loss - 0.6 - reference
    means = [
        difference[np.repeat(np.arange(50), line.astype(int))].mean()
        for line in moving_block_weights(50, 10, 200, np.random.default_rng(14))
    ]
    statistic = difference.mean() / (np.std(means) * math.sqrt(5 / 4))
    draws = np.random.default_rng(0).standard_t(4, 200_000)
    expected = np.mean(draws <= statistic)
    got = one_sided_improvement(loss - 0.6, reference, 10, 200, np.random.default_rng(14))
    assert got == pytest.approx(expected, abs=0.003)
    assert 0.01 < got < 0.5


@pytest.mark.parametrize("block", [1, 5])
def test_interval_covers_the_truth_as_often_as_it_says(block):
    rng = np.random.default_rng(6)
    weights = moving_block_weights(150, block, 400, rng)
    covered = 0
    for _ in range(300):
        numerator, denominator = rng.exponential(2.0, 150), rng.uniform(0.5, 1.5, 150)
        low, high = ratio_interval(numerator, denominator, weights, 0.9)
        covered += low <= 2.0 <= high
    assert 0.84 <= covered / 300 <= 0.95


def test_improvement_is_rarely_claimed_where_there_is_none():
    rng = np.random.default_rng(7)
    p = [
        one_sided_improvement(rng.normal(size=120), rng.normal(size=120), 4, 200, rng)
        for _ in range(300)
    ]
    assert 0.02 <= np.mean(np.array(p) < 0.05) <= 0.1
    assert 0.4 <= np.mean(p) <= 0.6


def test_improvement_is_found_where_there_is_one_and_only_on_its_side():
    rng = np.random.default_rng(8)
    reference = rng.exponential(size=200)
    better = reference - 0.2 + 0.1 * rng.normal(size=200)
    assert one_sided_improvement(better, reference, 10, 500, rng) < 1e-6
    assert one_sided_improvement(reference, better, 10, 500, rng) == pytest.approx(1.0)


def test_blocks_make_the_test_cautious_about_correlated_losses():
    # A slow wave that happens to end low: single origins call it a gain, blocks do not.
    rng = np.random.default_rng(9)
    wave = np.sin(np.linspace(0, 3 * np.pi, 300)) * -1.0
    wave += 0.1 * rng.normal(size=300)
    zero = np.zeros(300)
    assert one_sided_improvement(wave, zero, 1, 500, rng) < 0.01
    assert one_sided_improvement(wave, zero, 60, 500, rng) > 0.05


@pytest.mark.parametrize("blocks", [3, 5])
def test_few_blocks_do_not_make_the_test_liberal(blocks):
    """Errors that overlap for a horizon of 20, and a handful of blocks of one horizon."""
    rng, horizon = np.random.default_rng(21), 20
    n, claimed = blocks * horizon, 0
    for _ in range(300):
        noise = rng.normal(size=(2, n + horizon - 1))
        loss, reference = (np.convolve(e, np.ones(horizon), "valid") ** 2 for e in noise)
        claimed += one_sided_improvement(loss, reference, horizon, 200, rng) <= 0.05
    assert claimed / 300 <= 0.08


def test_a_certain_gain_and_a_certain_loss():
    loss, rng = np.arange(20.0), np.random.default_rng(22)
    assert one_sided_improvement(loss - 1, loss, 4, 50, rng) == 0.0
    assert one_sided_improvement(loss + 1, loss, 4, 50, rng) == 1.0


@pytest.mark.parametrize("freedom", [1.0, 1.5, 2.87, 9.0, 120.0, 1000.0])
def test_student_probability_is_that_of_student_t(freedom):
    draws = np.random.default_rng(0).standard_t(freedom, 200_000)
    for value in (-4.0, -1.0, 0.0, 0.3, 2.0):
        expected = np.mean(draws <= value)
        assert _student_probability(value, freedom) == pytest.approx(expected, abs=0.004)


def test_no_difference_and_no_evidence_give_one():
    loss = np.arange(20.0)
    rng = np.random.default_rng(10)
    assert one_sided_improvement(loss, loss, 4, 50, rng) == 1.0
    assert one_sided_improvement(loss - 100, loss, 11, 50, rng) == 1.0


def test_improvement_refuses_losses_that_do_not_pair():
    rng = np.random.default_rng(11)
    with pytest.raises(ValueError, match="differ"):
        one_sided_improvement(np.zeros(3), np.zeros(1), 1, 5, rng)
    with pytest.raises(ValueError, match="finite"):
        one_sided_improvement(np.array([0.0, np.nan, 1.0]), np.zeros(3), 1, 5, rng)


def test_same_seed_gives_the_same_answer():
    loss = np.random.default_rng(0).normal(size=(2, 80))
    first, second = (
        one_sided_improvement(*loss, 5, 100, np.random.default_rng(12)) for _ in range(2)
    )
    assert first == second
