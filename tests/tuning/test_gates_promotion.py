import json

import numpy as np
import pytest

from tsmemory.tuning.gates.promotion import choose, promote
from tsmemory.tuning.gates.scores import BlockScores

BLOCKS, LENGTH = 4, 40


def scores_of(loss):
    """Scores with this loss at each origin."""
    sums = np.stack([loss, np.ones_like(loss)], axis=1)[:, None]
    origins = np.arange(len(loss))
    return BlockScores(origins, origins // LENGTH, sums)


@pytest.fixture
def noise():
    return np.random.default_rng(0).normal(0, 0.1, BLOCKS * LENGTH)


@pytest.fixture
def default(noise):
    return 1 + noise


def test_the_default_is_always_promoted_and_once():
    values = {0: 3.0, 1: 1.0, 2: 2.0, 3: 4.0, 4: float("nan")}
    assert promote(values, 2) == [0, 1, 2]
    assert promote(values, 9) == [0, 1, 2, 3]
    assert promote({5: 1.0}, 1) == [0, 5]
    assert promote(values, 0) == [0]


def test_settings_that_differ_in_nothing_are_promoted_once():
    assert promote({0: 3.0, 1: 1.0, 2: 1.0, 3: 3.0, 4: 2.0}, 9) == [0, 1, 4]


def test_a_clear_gain_is_taken(default):
    choice = choose({0: scores_of(default), 5: scores_of(default - 0.1)}, horizon=5)
    assert (choice.number, choice.best, choice.is_tuned) == (5, 5, True)
    assert choice.blocks_won == choice.blocks == BLOCKS
    assert choice.p_value < 0.01
    assert choice.skill == pytest.approx(1 - choice.value / choice.default_value)
    assert choice.skill == pytest.approx(0.1, rel=0.05)


def test_luck_is_not_taken(default):
    """A gain within noise: another forecast, no better one."""
    rng = np.random.default_rng(3)
    other = 1 + rng.normal(0, 0.1, len(default))
    other += default.mean() - other.mean() - 1e-3
    choice = choose({0: scores_of(default), 5: scores_of(other)}, horizon=5)
    assert (choice.number, choice.best) == (0, 5)
    assert choice.p_value > 0.1
    assert not choice.is_tuned


def test_a_gain_on_few_blocks_is_not_taken(default):
    other = default.copy()
    other[: 2 * LENGTH] -= 0.5
    other[2 * LENGTH :] += 0.01
    choice = choose({0: scores_of(default), 5: scores_of(other)}, horizon=2, alpha=0.5)
    assert choice.number == 0
    assert choice.blocks_won == 2
    assert "2 of 4 blocks" in choice.reason


def test_where_nothing_is_better_the_default_stays(default):
    choice = choose({0: scores_of(default), 5: scores_of(default + 0.1)}, horizon=5)
    assert (choice.number, choice.best, choice.p_value, choice.skill) == (0, 0, 1.0, 0.0)
    assert json.loads(json.dumps(choice.to_json()))["is_tuned"] is False


def test_a_validation_too_short_to_tell_leaves_the_default(noise):
    short = scores_of(1 + noise[:3]), scores_of(0.5 + noise[:3])
    choice = choose(dict(enumerate(short)), horizon=500)
    assert (choice.best, choice.number, choice.p_value) == (1, 0, 1.0)


def test_the_best_of_all_is_asked_and_no_other(default):
    """The second best is not tried in its place: every further test is another chance to err."""
    lucky = default.copy()
    lucky[:10] -= 3
    scores = {0: scores_of(default), 1: scores_of(lucky), 2: scores_of(default - 0.05)}
    choice = choose(scores, horizon=5)
    assert (choice.best, choice.number) == (1, 0)
