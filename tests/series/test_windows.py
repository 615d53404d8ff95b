from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import series_of
from tsmemory.series.windows import (
    SPLITS,
    Windows,
    count_windows,
    index_windows,
    list_origins,
)

L = 6


def borders_of(*ends):
    """Borders of series s0, s1, … from (train_end, validation_end, test_end)."""
    table = pd.DataFrame(ends, columns=["train_end", "validation_end", "test_end"])
    return table.assign(item_id=[f"s{number}" for number in range(len(ends))])


def index(series, borders, *, horizons=(2, 5), stride=1, share=0.0):
    strides = dict.fromkeys(SPLITS, stride)
    return index_windows(
        series,
        borders,
        context_length=L,
        horizons=horizons,
        strides=strides,
        max_missing_share=share,
    )


def starts(table, split, row=0):
    return table.loc[(table["split"] == split) & (table["row"] == row), "start"].tolist()


@given(
    train=st.integers(0, 30),
    validation=st.integers(0, 15),
    test=st.integers(0, 15),
    stride=st.integers(1, 4),
    horizons=st.sets(st.integers(1, 7), min_size=1, max_size=3),
)
def test_against_every_window_there_is(train, validation, test, stride, horizons):
    ends = (train, train + validation, train + validation + test)
    series = series_of([np.zeros(max(ends[-1], 1))])
    table = index(series, borders_of(ends), horizons=sorted(horizons), stride=stride)
    begin = {"datastore": 0, "train": 0, "validation": ends[0], "test": ends[1]}
    limit = {"datastore": ends[0], "train": ends[0], "validation": ends[1], "test": ends[2]}
    for split in SPLITS:
        known = max(horizons) if split in ("datastore", "train") else min(horizons)
        possible = [
            s for s in range(ends[2]) if s + L >= begin[split] and s + L + known <= limit[split]
        ]
        found = starts(table, split)
        if split in ("datastore", "train"):  # one in each stretch, wherever it wandered to
            assert set(found) <= set(possible)
            stretches = [(start - possible[0]) // stride for start in found]
            assert stretches == list(range(len(possible[::stride])))
        else:
            assert found == possible[::stride]
        assert set(table.loc[table["split"] == split, "limit"]) <= {limit[split]}


@pytest.mark.parametrize(("stride", "season"), [(7, 7), (7, 168), (24, 24), (2, 4)])
def test_training_windows_meet_every_phase_of_a_season(stride, season):
    end = L + 8 + 12 * stride * season
    series = series_of([np.zeros(end)])
    table = index(series, borders_of((end, end, end)), stride=stride)
    phases = {start % season for start in starts(table, "train")}
    assert phases == set(range(season))
    assert starts(table, "train") == starts(table, "datastore")


def test_a_context_reaches_back_and_a_target_never_crosses():
    series = series_of([np.arange(40.0)])
    table = index(series, borders_of((20, 30, 40)))
    validation = Windows.from_table(table, "validation", L, 5)
    assert validation.start[0] + L == 20
    assert np.nanmax(validation.targets(series)) == 29
    assert np.isnan(validation.targets(series)[-1]).tolist() == [False, False, True, True, True]
    assert validation.complete(2).all()
    assert validation.complete(5).tolist() == [True] * 6 + [False] * 3
    train = Windows.from_table(table, "train", L, 5)
    assert train.contexts(series).min() == 0
    assert np.max(train.targets(series)) == 19


def test_a_validation_of_a_short_training_part_still_needs_a_context():
    series = series_of([np.zeros(30)])
    assert starts(index(series, borders_of((3, 12, 30))), "validation") == [0, 1, 2, 3, 4]


def test_windows_with_too_much_missing_are_left_out():
    row = np.zeros(30)
    row[10:13] = np.nan
    series = series_of([row])

    def train_starts(share):
        return starts(index(series, borders_of((30, 30, 30)), share=share), "train")

    def admissible(share):
        context = [np.isnan(row[s : s + L]).mean() for s in range(20)]
        target = [np.isnan(row[s + L : s + L + 5]).mean() for s in range(20)]
        return [s for s in range(20) if max(context[s], target[s]) <= share]

    for share in (0.0, 0.2, 0.4, 0.5, 1.0):
        assert train_starts(share) == admissible(share)
    assert len(train_starts(0.0)) < len(train_starts(0.4)) < len(train_starts(1.0)) == 20


def test_missing_values_of_one_row_do_not_touch_another():
    broken = np.full(30, np.nan)
    series = series_of([broken, np.zeros(30)])
    table = index(series, borders_of((30, 30, 30), (30, 30, 30)))
    assert set(table["row"]) == {1}


def test_rows_of_one_series_share_its_borders():
    series = series_of([np.zeros(30), np.zeros(30)], items=["s0", "s0"], channels=["x", "y"])
    table = index(series, borders_of((20, 25, 30)))
    for split in SPLITS:
        assert starts(table, split, 0) == starts(table, split, 1) != []


@pytest.fixture
def windows():
    return Windows(
        row=np.array([0, 0, 1, 1, 1]),
        start=np.array([0, 4, 1, 2, 9]),
        limit=np.array([20, 20, 30, 30, 30]),
        context_length=L,
        horizon=3,
    )


def test_origin_calendar_and_len(windows):
    series = series_of([np.zeros(20), np.zeros(30)], calendar=[100, 7])
    assert len(windows) == 5
    assert windows.origin.tolist() == [6, 10, 7, 8, 15]
    assert windows.calendar(series).tolist() == [100, 104, 8, 9, 16]


def test_take_and_batches_keep_the_order(windows):
    assert windows.take(np.array([4, 0])).start.tolist() == [9, 0]
    assert [len(batch) for batch in windows.batches(2)] == [2, 2, 1]
    joined = np.concatenate([batch.start for batch in windows.batches(2)])
    np.testing.assert_array_equal(joined, windows.start)


def test_targets_of_a_shorter_horizon(windows):
    series = series_of([np.arange(20.0), np.arange(30.0)])
    np.testing.assert_array_equal(windows.targets(series, 2), windows.targets(series)[:, :2])


def test_windows_left_out_and_rows_without_any_are_counted():
    scarce = np.full(40, np.nan)
    scarce[[2, 11]] = 1.0, 2.0
    gap = np.zeros(40)
    gap[33] = np.nan
    series = series_of([gap, scarce], channels=["x", "y"])
    borders = borders_of((20, 30, 40), (20, 30, 40))
    table = index(series, borders, stride=2)
    counts = count_windows(
        table,
        series,
        borders,
        context_length=L,
        horizons=(2, 5),
        strides=dict.fromkeys(SPLITS, 2),
    )
    every = index(series_of([np.zeros(40)] * 2), borders, stride=2)["split"].value_counts()
    for split in SPLITS:
        kept = (table["split"] == split).sum()
        assert counts["splits"][split] == {"kept": kept, "left_out": every[split] - kept}
    assert counts["splits"]["train"] == {"kept": 5, "left_out": 5}
    assert counts["splits"]["test"]["left_out"] > 5
    assert counts["rows_without_training_windows"] == [
        {
            "item_id": "s1",
            "channel": "y",
            "reason": "too many missing values in every training window: 2 of 20 training steps "
            "are observed",
        }
    ]


@pytest.mark.parametrize("change", ["row", "start", "context_length", "horizon", "flat", "offset"])
def test_the_fingerprint_covers_all_that_contexts_and_targets_depend_on(change):
    series = series_of([np.arange(20.0), np.arange(10.0)])
    windows = Windows.from_table(
        index(series, borders_of((20, 20, 20), (10, 10, 10))), "train", L, 5
    )
    before = windows.fingerprint(series)
    assert windows.fingerprint(replace(series)) == before
    if hasattr(windows, change):
        windows = replace(windows, **{change: getattr(windows, change) + 1})
    else:
        series = replace(series, **{change: getattr(series, change) + 1})
    assert windows.fingerprint(series) != before


def test_origins_are_listed_for_all_that_is_forecast():
    series = series_of([np.zeros(40)] * 2, items=["b", "a"], channels=["y", "x"], calendar=[0, 7])
    borders = borders_of((20, 30, 40), (18, 30, 40)).assign(item_id=["b", "a"])
    table = index(series, borders)
    asked = list_origins(table, series, context_length=L, horizon=5)
    lines = table[table["split"] != "datastore"]
    assert len(asked) == len(lines)
    begin = pd.Timestamp("2024-01-01")
    for origin, line in zip(asked.itertuples(), lines.itertuples(), strict=True):
        assert (origin.item_id, origin.target_name) == (("b", "y"), ("a", "x"))[line.row]
        assert origin.cutoff == begin + pd.Timedelta(hours=line.start + L - 1 + 7 * line.row)
        assert (origin.split, origin.horizon) == (line.split, 5)
    assert set(asked["split"]) == {"train", "validation", "test"}
