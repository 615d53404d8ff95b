import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsmemory.series.errors import IngestionError
from tsmemory.series.splits import split_borders


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


def test_series_shorter_than_fixed_borders():
    with pytest.raises(IngestionError, match=r"end at step 15.*'b' \(14 steps\)"):
        split_borders(panel(a=20, b=14), borders=(5, 10, 15))


@given(
    length=st.integers(1, 300),
    train=st.floats(0.01, 0.98),
    rest=st.floats(0.01, 0.98),
)
def test_borders_are_ordered(length, train, rest):
    row = split_borders(panel(a=length), train_share=train, test_share=(1 - train) * rest).iloc[0]
    assert 0 <= row["train_end"] <= row["validation_end"] <= row["test_end"] == length
