"""The unit that contexts are forecast in: known series, new ones, and those that have moved."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from forecasters import ELSEWHERE, FULL, HOURS, H, by_hand, make_contexts, make_forecaster
from numpy.testing import assert_allclose, assert_array_equal

from builders import seasonal_rows, series_of, windows_over
from tsmemory import MemoryForecaster
from tsmemory.memory.known_series import KnownSeries

KNOWN = KnownSeries(
    item_id=("a", "a", "7"),
    channel=("load", "target", "target"),
    mean=np.array([18.0, 22.0, -4.0]),
    std=np.array([3.0, 5.0, 2.0]),
    typical_scale=0.5,
)
SINGLE = KnownSeries(("a", "a"), ("load", "target"), KNOWN.mean[:2], KNOWN.std[:2], 0.5)


@pytest.fixture(scope="module")
def contexts():
    return make_contexts()


@pytest.fixture(scope="module")
def forecaster():
    return make_forecaster(FULL, KNOWN)


def test_a_known_series_has_the_unit_of_its_training(contexts):
    items, channels = ["a", "7", "a"], ["target", "target", "load"]
    some = contexts[:3] + np.array([[0.0], [-25.0], [2.0]])
    unit = KNOWN.unit(some, items, channels)
    assert unit.level.tolist() == [22.0, -4.0, 18.0]
    assert unit.scale.tolist() == [5.0, 2.0, 3.0]
    z = unit.reduce(some)
    assert z.dtype == np.float32
    assert_allclose(z[1], (some[1] + 4) / 2, rtol=1e-5)
    assert_allclose(unit.restore(z), some, rtol=1e-6)
    assert_allclose(unit.restore(z[:, :, None])[..., 0], some, rtol=1e-6)


@pytest.mark.parametrize(
    ("items", "channels"),
    [
        (None, None),
        (["a"] * 3, None),
        (None, ["load"] * 3),  # of several series, a channel alone names none
        (["b"] * 3, ["load"] * 3),
        (["a"] * 3, ["Load"] * 3),
        (["7"] * 3, ["load"] * 3),
    ],
)
def test_a_new_series_is_a_typical_context_at_its_mean(contexts, items, channels):
    unit = KNOWN.unit(contexts[:3], items, channels)
    assert_allclose(unit.level, contexts[:3].mean(axis=1), rtol=1e-6)
    z = unit.reduce(contexts[:3])
    assert_allclose(z.mean(axis=1), 0, atol=1e-5)
    assert_allclose(z.std(axis=1), KNOWN.typical_scale, rtol=1e-5)


def test_a_memory_of_a_single_series_knows_it_by_channel_alone(contexts):
    unit = SINGLE.unit(contexts[:3], None, ["target", "new", "load"])
    assert unit.level[[0, 2]].tolist() == [22.0, 18.0]
    assert unit.level[1] == pytest.approx(contexts[1].mean(), rel=1e-6)
    named = SINGLE.unit(contexts[:3], ["a", "a", "other"], ["target", "new", "load"])
    assert named.level[0] == 22.0
    assert named.level[2] == pytest.approx(contexts[2].mean(), rel=1e-6)


def test_identifiers_may_be_numbers(contexts):
    for items in ([7, 7], np.array([7, 7]), np.array(["7", "7"]), np.array([7, 7], dtype=object)):
        assert KNOWN.unit(contexts[:2] - 25, items, ["target"] * 2).scale.tolist() == [2.0, 2.0]


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize(
    ("shift", "stretch", "moved"),
    [(49.0, 1.0, False), (51.0, 1.0, True), (-51.0, 1.0, True), (0.0, 49.0, False), (0, 51, True)],
)
def test_a_series_that_has_moved_or_gone_wild_is_a_new_one(shift, stretch, moved, gaps, caplog):
    wave = np.tile([1.0, -1.0, 1.0, -1.0], 16)  # mean 0, standard deviation 1
    context = (22 + shift + stretch * wave)[None].repeat(2, axis=0)
    if gaps:
        context[0, 4:8] = np.nan
    unit = KNOWN.unit(context, ["a", "b"], ["target", "target"])
    new = KNOWN.unit(context)
    assert unit.level[0] == (pytest.approx(new.level[0]) if moved else 22.0)
    assert unit.scale[0] == (pytest.approx(new.scale[0]) if moved else 5.0)
    assert unit.level[1] == new.level[1]
    said = [record.getMessage() for record in caplog.records]
    assert ["1 of 2 contexts lie more than 10" in line for line in said] == [True] * moved


def test_missing_values_do_not_count(contexts):
    gaps = contexts[:2].astype(np.float64)
    gaps[0, 5:20] = np.nan
    gaps[1, 1:] = np.nan
    unit = KNOWN.unit(gaps)
    assert_allclose(unit.level, [np.nanmean(gaps[0]), gaps[1, 0]], rtol=1e-9)
    assert_allclose(unit.scale, [np.nanstd(gaps[0]) / 0.5, 1.0], rtol=1e-9)
    assert_array_equal(np.isnan(unit.reduce(gaps)), np.isnan(gaps))


@pytest.mark.parametrize("level", [0.0, 7.0, -1e8, 0.1])
def test_a_constant_series_has_a_unit(level):
    unit = KNOWN.unit(np.full((1, 64), level))
    assert unit.scale.tolist() == [1.0]
    assert_allclose(unit.reduce(np.full((1, 64), level)), 0, atol=1e-6)


def test_a_high_level_keeps_its_precision():
    far = 1e9 + np.random.default_rng(0).normal(size=(2, 64))
    table = replace(KNOWN, mean=KNOWN.mean + 1e9)
    unit = table.unit(far, ["a", "new"], ["target"] * 2)
    assert_allclose(unit.reduce(far)[0], (far[0] - 1e9 - 22) / 5, atol=1e-6)
    assert_allclose(unit.reduce(far)[1].std(), 0.5, rtol=1e-5)


def test_the_table_is_taken_from_training():
    rows = seasonal_rows(np.random.default_rng(0), [200, 150])
    rows[0][40:50] = np.nan
    rows[1][100:] = 2.0  # contexts in there are constant and have no scale
    series = replace(
        series_of(rows, items=["u", 5], channels=["x", "y"]),
        mean=np.array([10.0, -1.0]),
        std=np.array([2.0, 0.5]),
    )
    windows = windows_over(series, 32, 8)
    table = KnownSeries.from_training(series, windows)
    assert (table.item_id, table.channel) == (("u", "5"), ("x", "y"))
    assert_array_equal(table.mean, series.mean)
    assert_array_equal(table.std, series.std)
    scale = np.nanstd(windows.contexts(series), axis=1)
    assert (scale == 0).any()
    assert table.typical_scale == pytest.approx(np.median(scale[scale > 0]), rel=1e-5)
    flat = series_of([np.ones(100)])
    assert KnownSeries.from_training(flat, windows_over(flat, 32, 8)).typical_scale == 1.0


def test_it_survives_json():
    text = json.dumps(KNOWN.to_json(), allow_nan=False)
    read = KnownSeries.from_json(json.loads(text))
    assert read.to_json() == KNOWN.to_json()
    assert (read.item_id, read.channel) == (KNOWN.item_id, KNOWN.channel)
    assert_array_equal(read.mean, KNOWN.mean)


def test_it_is_part_of_the_artefact(forecaster, contexts, tmp_path):
    forecaster.save_pretrained(tmp_path)
    loaded = MemoryForecaster.from_pretrained(tmp_path)
    assert loaded.series.to_json() == KNOWN.to_json()
    assert loaded.summary()["known_series"] == 3
    names = {"items": ["a"] * 12, "channels": ["load"] * 12}
    one, other = (f.predict_quantiles(contexts, **names)[0] for f in (forecaster, loaded))
    assert torch.equal(one, other)
    assert (one - loaded.predict_quantiles(contexts)[0]).abs().max() > 0.05


def test_forecasts_of_known_series_are_made_in_their_unit(forecaster, contexts):
    items, channels = ["a", "a", "b", "a"] * 3, ["load", "target", "load", "x"] * 3
    expected = by_hand(forecaster, contexts, items=items, channels=channels)
    found, _ = forecaster.predict_quantiles(contexts, items=items, channels=channels)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    new, _ = forecaster.predict_quantiles(contexts, channels=channels)
    torch.testing.assert_close(found[2::4], new[2::4])
    torch.testing.assert_close(found[3::4], new[3::4])
    assert ((found - new)[[0, 1, 4, 5]].abs().amax(dim=(1, 2)) > 0.05).all()


@pytest.mark.parametrize(("factor", "shift"), [(1e-3, 0.0), (40.0, -1e5), (1.0, 1e6)])
def test_a_known_series_may_have_any_unit_if_the_table_has_it_too(contexts, factor, shift):
    names = {"items": ["a", "7"] * 6, "channels": ["target"] * 12}
    given = contexts.astype(np.float64)
    given[1::2] -= 25
    gaps = given.copy()
    gaps[3, 10:15] = np.nan
    other = replace(KNOWN, mean=factor * KNOWN.mean + shift, std=factor * KNOWN.std)
    one, two = (make_forecaster(FULL, table) for table in (KNOWN, other))
    for here in (given, gaps):
        expected, _ = one.predict_quantiles(here, 60, **names)
        found, _ = two.predict_quantiles(factor * here + shift, 60, **names)
        rounding = np.spacing(np.float32(abs(shift))) / factor
        torch.testing.assert_close(
            (found.double() - shift) / factor,
            expected.double(),
            rtol=1e-4,
            atol=1e-4 + float(rounding),
        )


@pytest.mark.parametrize("batch_size", [1, 5])
def test_the_unit_does_not_depend_on_the_batch(forecaster, contexts, batch_size):
    given = contexts.copy()
    given[4, 10:20] = np.nan
    given[5] += 500  # has moved
    names = {"items": ["a", "b", "7", "a"] * 3, "channels": ["load", "target", "target"] * 4}
    whole, _ = forecaster.predict_quantiles(given, 100, **names)
    parts, _ = forecaster.predict_quantiles(given, 100, batch_size=batch_size, **names)
    torch.testing.assert_close(whole, parts, rtol=1e-5, atol=1e-4)
    assert torch.isfinite(whole).all()


def frame_of(contexts, ids, **columns):
    count = contexts.shape[1]
    return pd.DataFrame(
        {
            "item_id": np.repeat(np.array(ids), count),
            "timestamp": np.tile(HOURS[:count], len(ids)),
            "target": contexts[: len(ids)].ravel(),
            **columns,
        }
    )


@pytest.mark.parametrize("kind", ["int64", "object", "category", "string"])
def test_a_table_finds_its_series_by_identifier_and_target(forecaster, contexts, kind):
    frame = frame_of(contexts - 25, [7, 8])
    frame["load"] = frame["target"] + 40
    frame["item_id"] = frame["item_id"].astype("int64" if kind == "int64" else str).astype(kind)
    table = forecaster.predict_df(frame, target=["target", "load"])
    rows = np.repeat(contexts[:2] - 25, 2, axis=0) + np.array([[0], [40], [0], [40]])
    names = {"items": ["7", "7", "8", "8"], "channels": ["target", "load"] * 2}
    _, expected = forecaster.predict_quantiles(rows.astype(np.float32), **names)
    assert_allclose(table["predictions"], expected.ravel(), rtol=1e-4, atol=1e-4)
    _, new = forecaster.predict_quantiles(rows.astype(np.float32), channels=names["channels"])
    gap = (expected - new).abs().amax(dim=1)
    assert gap[0] > 0.05
    assert_allclose(gap[1:], 0, atol=1e-4)


def test_a_table_without_identifiers_is_the_single_series_of_the_memory(contexts):
    frame = frame_of(contexts, ["a"])
    for table, knows in ((SINGLE, True), (KNOWN, False)):
        forecaster = make_forecaster(FULL, table)
        named, bare = (
            forecaster.predict_df(part)["predictions"].to_numpy()
            for part in (frame, frame.drop(columns="item_id"))
        )
        assert (np.abs(named - bare).max() < 1e-4) == knows
    stranger = make_forecaster(FULL, SINGLE).predict_df(frame.assign(item_id="b"))
    assert np.abs(stranger["predictions"] - named).max() > 0.05


def test_the_paths_of_a_forecaster_agree_on_new_series(contexts):
    """Without names it does not matter which series the memory knows."""
    one, other = (
        make_forecaster(FULL, replace(ELSEWHERE, mean=mean))
        for mean in (ELSEWHERE.mean, ELSEWHERE.mean + 3.0)
    )
    assert torch.equal(one.predict_quantiles(contexts, H)[0], other.predict_quantiles(contexts)[0])
