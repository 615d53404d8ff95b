from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import series_of, windows_over
from tsmemory.trace.errors import TraceError
from tsmemory.trace.splits import TraceWindows


def cut(lengths, context_length, horizon, *, share=0.33, shortest=None, items=None):
    series = series_of([np.zeros(n, np.float32) for n in lengths], items=items)
    whole = windows_over(series, context_length, shortest or horizon)
    validation = replace(whole, horizon=horizon)
    return TraceWindows.split(series, validation.take(slice(0, 1)), validation, share), validation


@given(
    lengths=st.lists(st.integers(90, 200), min_size=1, max_size=3),
    context_length=st.integers(4, 20),
    horizon=st.integers(2, 20),
    share=st.floats(0.1, 0.9),
)
def test_no_step_is_in_both_parts(lengths, context_length, horizon, share):
    items = [f"s{number}" for number in range(len(lengths))]
    split, validation = cut(lengths, context_length, horizon, share=share, items=items)
    early, late = split.scoring, split.selection
    assert len(early)
    assert len(late)
    for row in range(len(lengths)):
        known = np.minimum(early.limit, early.origin + horizon)[early.row == row]
        assert known.max() <= late.start[late.row == row].min()
        # The targets that are left are not shorter than the shortest horizon.
        assert (known >= early.origin[early.row == row] + 1).all()
    assert early.start.max() <= validation.start.max()


def test_whole_targets_are_purged_by_context_and_horizon():
    split, _ = cut([200], 16, 8)
    whole = split.scoring.complete(8)
    assert whole.all()
    assert split.selection.origin.min() - split.scoring.origin.max() == 16 + 8


def test_the_share_of_origins_that_score():
    split, validation = cut([424], 16, 8, share=0.25)
    assert len(validation) == 401
    usable = 401 - 16 - 8 + 1
    assert len(split.scoring) == pytest.approx(0.25 * usable, abs=1)
    assert len(split.scoring) + len(split.selection) == usable


def test_targets_that_reach_beyond_the_border_are_unknown():
    split, _ = cut([200], 16, 30, shortest=4)
    early = split.scoring
    border = split.selection.start.min()
    assert not early.complete(30).all()
    assert early.complete(4).all()
    assert early.limit.max() == border


def test_short_series_take_turns():
    split, validation = cut([44] * 5, 32, 12, items=list("abcde"))
    assert set(split.scoring.row) == {0, 2, 4}
    assert set(split.selection.row) == {1, 3}
    assert len(split.scoring) + len(split.selection) == len(validation)


def test_channels_of_one_short_series_cannot_take_turns():
    with pytest.raises(TraceError, match=r"origins over 8 steps, too few .* 44 steps of purge"):
        cut([52, 52], 32, 12, items=["a", "a"])


def test_a_short_series_beside_a_long_one_only_selects():
    split, _ = cut([200, 45], 16, 8, items=["long", "short"])
    assert set(split.scoring.row) == {0}
    assert set(split.selection.row) == {0, 1}
