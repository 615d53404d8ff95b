import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsmemory.series.errors import IngestionError
from tsmemory.series.splits import calendar_overlap, split_borders


def panel(**lengths):
    parts = [
        pd.DataFrame(
            {
                "item_id": item,
                "timestamp": pd.date_range("2020-01-01", periods=length, freq="h"),
                "x": 1.0,
            }
        )
        for item, length in lengths.items()
    ]
    return pd.concat(parts, ignore_index=True)


def test_shares_follow_the_benchmarks():
    table = split_borders(panel(b=17, a=100), train_share=0.7, test_share=0.2)
    assert table.columns.tolist() == [
        "item_id",
        "length",
        "train_end",
        "validation_end",
        "test_end",
    ]
    assert table.to_numpy().tolist() == [["b", 17, 11, 14, 17], ["a", 100, 70, 80, 100]]


def test_fixed_borders_hold_for_every_series():
    table = split_borders(panel(a=20, b=15), borders=(5, 10, 15))
    assert table.to_numpy().tolist() == [["a", 20, 5, 10, 15], ["b", 15, 5, 10, 15]]


def test_series_shorter_than_fixed_borders_are_left_out():
    table = split_borders(panel(b=14, a=20), borders=(5, 10, 15))
    assert table.to_numpy().tolist() == [["a", 20, 5, 10, 15]]
    assert table.index.tolist() == [0]


def test_all_series_shorter_than_fixed_borders():
    with pytest.raises(IngestionError, match=r"end at step 15.*'a' \(9 steps\); 'b' \(14 steps\)"):
        split_borders(panel(a=9, b=14), borders=(5, 10, 15))


@pytest.mark.parametrize(
    ("starts", "lengths"),
    [([0, 0, 0], [100, 100, 100]), ([0, 200], [100, 100]), ([0], [50])],
)
def test_aligned_or_separate_series_do_not_overlap(starts, lengths):
    names = {f"s{number}": length for number, length in enumerate(lengths)}
    found = calendar_overlap(np.array(starts), split_borders(panel(**names)))
    assert found == {"series": 0, "worst": None}


@given(
    spans=st.lists(st.tuples(st.integers(0, 40), st.integers(4, 60)), min_size=1, max_size=5),
)
def test_overlap_against_every_pair_of_series(spans):
    start = np.array([s for s, _ in spans])
    table = split_borders(panel(**{f"s{n}": length for n, (_, length) in enumerate(spans)}))
    train = [set(range(s, s + e)) for s, e in zip(start, table["train_end"], strict=True)]
    ends = zip(start, table["validation_end"], table["test_end"], strict=True)
    test = [set(range(s + a, s + b)) for s, a, b in ends]
    steps = [[len(one & other) for other in test] for one in train]
    found = calendar_overlap(start, table)
    assert found["series"] == sum(max(line) > 0 for line in steps)
    if found["worst"] is None:
        assert np.max(steps) == 0
    else:
        one, other = (int(found["worst"][role][1:]) for role in ("training", "tested"))
        assert found["worst"]["steps"] == steps[one][other] == np.max(steps) > 0


@given(
    length=st.integers(1, 300),
    train=st.floats(0.01, 0.98),
    rest=st.floats(0.01, 0.98),
)
def test_borders_are_ordered(length, train, rest):
    row = split_borders(panel(a=length), train_share=train, test_share=(1 - train) * rest).iloc[0]
    assert 0 <= row["train_end"] <= row["validation_end"] <= row["test_end"] == length
