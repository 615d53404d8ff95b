import math

import numpy as np
import pytest
from scipy import stats

from tsmemory.metrics.seed_interval import seed_interval, student_factor


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 6, 9, 20, 61])
@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.999])
def test_the_factor_is_students(freedom, level):
    expected = stats.t.ppf((1 + level) / 2, freedom)
    assert student_factor(freedom, level) == pytest.approx(expected, rel=1e-9)


def test_the_interval_is_that_of_the_t_test():
    values = [0.41, 0.43, 0.40]
    mean, low, high = seed_interval(values, 0.95)
    expected = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert mean == pytest.approx(np.mean(values))
    assert (low, high) == pytest.approx(expected)


def test_one_seed_has_no_interval_and_none_no_mean():
    mean, low, high = seed_interval([0.4], 0.9)
    assert mean == 0.4
    assert math.isnan(low)
    assert math.isnan(high)
    with pytest.raises(ValueError, match="no seed"):
        seed_interval([], 0.9)
