"""Forecasts from a file: what is read, what is refused, and what is looked up."""

import numpy as np
import pandas as pd
import pytest

from tsmemory.backbones import BackboneError, Origins, load_backbone
from tsmemory.backbones.forecast_table import read_forecast_table
from tsmemory.backbones.registry import backbone_fingerprint

LEVELS = ("0.1", "0.5", "0.9")
CUTOFFS = pd.to_datetime(["2024-01-31", "2024-02-29", "2024-03-31"])
H = 4


def make_table(items=("b", "a"), channels=("y", "x"), cutoffs=CUTOFFS, levels=LEVELS, freq="D"):
    """A row for each item, channel, cutoff and step; values say which."""
    lines = []
    for i, item in enumerate(items):
        for c, channel in enumerate(channels):
            for k, cutoff in enumerate(cutoffs):
                stamps = pd.date_range(cutoff, periods=H + 1, freq=freq)[1:]
                for step, stamp in enumerate(stamps, start=1):
                    base = 1000 * i + 100 * c + 10 * k + step
                    line = {"item_id": item, "target_name": channel, "cutoff": cutoff}
                    line |= {"step": step, "timestamp": stamp}
                    lines.append(line | {q: base + float(q) for q in levels})
    return pd.DataFrame(lines)


def value(item, channel, cutoff, step, level):
    return 1000 * item + 100 * channel + 10 * cutoff + step + level


def origins_of(items, channels, stamps, loc=0.0, scale=1.0):
    count = len(items)
    return Origins(
        np.array(items, dtype=object),
        np.array(channels, dtype=object),
        np.array(stamps, dtype="datetime64[ns]"),
        np.full(count, loc),
        np.full(count, scale),
    )


@pytest.fixture
def written(tmp_path):
    """Write a table to a file of the kind asked for."""

    def write(table, name="forecasts.parquet"):
        path = tmp_path / name
        if path.suffix == ".parquet":
            table.to_parquet(path, index=False)
        else:
            table.to_csv(path, index=False)
        return path

    return write


CONTEXTS = np.random.default_rng(0).normal(size=(3, 80)).astype(np.float32)
ASKED = origins_of(["a", "b", "a"], ["x", "x", "y"], CUTOFFS[[2, 0, 1]])
EXPECTED = np.array(
    [
        [[value(*place, step, level) for step in range(1, H + 1)] for level in (0.1, 0.5, 0.9)]
        for place in ((1, 1, 2), (0, 1, 0), (1, 0, 1))
    ]
)


@pytest.mark.parametrize("name", ["forecasts.parquet", "forecasts.csv", "forecasts.csv.gz"])
@pytest.mark.parametrize("left_out", ["step", "timestamp"])
def test_every_forecast_is_found_in_the_unit_of_the_contexts(written, name, left_out):
    table = make_table().drop(columns=left_out)
    path = written(table.sample(frac=1, random_state=0), name)
    backbone = load_backbone(path)
    assert backbone.quantile_levels == (0.1, 0.5, 0.9)
    assert backbone.native_horizon == H
    found = backbone.predict_quantiles(CONTEXTS, H, origins=ASKED)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, EXPECTED, rtol=1e-6)
    z = ASKED._replace(loc=np.array([1.0, 2.0, 3.0]), scale=np.array([2.0, 4.0, 8.0]))
    keys, found = backbone.encode_and_predict(CONTEXTS, 2, origins=z)
    unit = (EXPECTED[:, :, :2] - z.loc[:, None, None]) / z.scale[:, None, None]
    np.testing.assert_allclose(found, unit, rtol=1e-6)
    np.testing.assert_array_equal(keys, backbone.embed(CONTEXTS))


@pytest.mark.parametrize("freq", ["ME", "h", "W-SUN", "B", "15min"])
def test_timestamps_become_steps_on_any_grid(written, freq):
    cutoffs = pd.date_range("2024-01-31", periods=9, freq=freq)[[0, 2, 5]]
    table = make_table(cutoffs=cutoffs, freq=freq).drop(columns="step")
    read = read_forecast_table(written(table))
    np.testing.assert_allclose(read.quantiles[0, 1], 0.5 + np.arange(1, H + 1))


def test_embeddings_are_those_of_the_seasonal_naive(written):
    backbone = load_backbone(written(make_table()))
    other = load_backbone("seasonal_naive", season=8)
    np.testing.assert_array_equal(backbone.embed(CONTEXTS), other.embed(CONTEXTS))


def test_crossing_quantiles_are_sorted_and_levels_in_any_order(written):
    table = make_table(levels=("0.9", "0.5", "0.1"))
    table[["0.1", "0.9"]] = table[["0.9", "0.1"]].to_numpy()
    found = load_backbone(written(table)).predict_quantiles(CONTEXTS, H, origins=ASKED)
    np.testing.assert_allclose(found, EXPECTED, rtol=1e-6)


def test_names_may_be_numbers(written):
    table = make_table(items=(7, 8), channels=(1, 2))
    backbone = load_backbone(written(table, "forecasts.csv"))
    asked = origins_of(["8", "7"], ["1", "2"], CUTOFFS[:2])
    found = backbone.predict_quantiles(CONTEXTS[:2], 1, origins=asked)
    np.testing.assert_allclose(found[:, 1, 0], [value(1, 0, 0, 1, 0.5), value(0, 1, 1, 1, 0.5)])


def test_a_single_series_needs_no_names(written):
    table = make_table(items=("one",), channels=("load",)).drop(columns=["item_id", "target_name"])
    backbone = load_backbone(written(table))
    found = backbone.predict_quantiles(
        CONTEXTS[:2], 1, origins=origins_of(["mine"] * 2, ["kW"] * 2, CUTOFFS[:2])
    )
    np.testing.assert_allclose(found[:, 1, 0], [1.5, 11.5])
    several = origins_of(["mine", "yours"], ["kW"] * 2, CUTOFFS[:2])
    with pytest.raises(BackboneError, match=r"no column 'item_id', but .* 'mine'; 'yours'"):
        backbone.predict_quantiles(CONTEXTS[:2], 1, origins=several)


def test_values_keep_the_precision_of_the_file(written):
    table = make_table()
    table[list(LEVELS)] += 1e9
    backbone = load_backbone(written(table))
    high = ASKED._replace(loc=np.full(3, 1e9))
    found = backbone.predict_quantiles(CONTEXTS, H, origins=high)
    np.testing.assert_allclose(found, EXPECTED, rtol=1e-6)


def test_what_is_missing_is_counted_and_named(written):
    path = written(make_table())
    backbone = load_backbone(path)
    asked = origins_of(["a", "c", "b", "a"], ["x", "x", "q", "y"], [*CUTOFFS[:3], "2025-01-01"])
    with pytest.raises(BackboneError) as caught:
        backbone.check_origins(asked, H)
    message = str(caught.value)
    assert f"{path} lacks 3 of the 4 forecasts" in message
    assert "item c, target x, cutoff 2024-02-29 00:00:00" in message
    assert "item b, target q, cutoff 2024-03-31 00:00:00" in message
    assert "item a, target y, cutoff 2025-01-01 00:00:00" in message
    assert "12 forecasts of 4 steps with cutoffs from 2024-01-31" in message
    backbone.check_origins(ASKED, H)


def test_there_is_no_roll_out(written):
    backbone = load_backbone(written(make_table()))
    with pytest.raises(BackboneError, match="holds forecasts of 4 steps, 5 are asked for"):
        backbone.predict_quantiles(CONTEXTS, 5, origins=ASKED)


def test_bare_contexts_are_refused(written):
    backbone = load_backbone(written(make_table()))
    assert backbone.needs_origins
    with pytest.raises(BackboneError, match="looked up by series and time"):
        backbone.predict_quantiles(CONTEXTS, H)


def without(column):
    return lambda table: table.drop(columns=column)


def with_value(column, row, new):
    def change(table):
        table[column] = table[column].astype(object)
        table.loc[row, column] = new
        return table.infer_objects()

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without("cutoff"), "there is no column 'cutoff'"),
        (without(["step", "timestamp"]), "neither a column 'step' nor 'timestamp'"),
        (without("0.5"), "there is no column '0.5', the median"),
        (lambda t: t.assign(**{"0.50": t["0.5"]}), "two columns are of the same quantile level"),
        (with_value("0.9", 5, np.nan), "'0.9' first at row 6: (empty)"),
        (with_value("0.9", 5, np.inf), "1 rows hold missing or infinite quantiles"),
        (lambda t: t.assign(**{"0.1": "low"}), "column '0.1' holds no numbers"),
        (with_value("step", 2, 0), "column 'step' must count from 1, first wrong at row 3: '0'"),
        (with_value("step", 2, 2.5), "column 'step' must count from 1, first wrong at row 3"),
        (with_value("step", 2, 2), "there twice: rows 2 and 3"),
        (with_value("item_id", 1, None), "column 'item_id' holds no name, first at row 2"),
        (with_value("target_name", 1, None), "column 'target_name' holds no name"),
        (with_value("cutoff", 1, None), "column 'cutoff' holds dates that cannot be read"),
        (lambda t: t.drop(index=9), "1 of 12 forecasts lack steps"),
        (lambda t: t.assign(cutoff=t["cutoff"].dt.tz_localize("UTC")), "carries a time zone"),
    ],
)
def test_nonsense_is_refused(written, change, said):
    path = written(change(make_table()))
    with pytest.raises(BackboneError) as caught:
        read_forecast_table(path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("shift", "said"),
    [
        (
            pd.Timedelta(hours=7),
            "must hold whole steps of D after the cutoff, first wrong at row 3",
        ),
        (
            -pd.Timedelta(days=9),
            "must hold whole steps of D after the cutoff, first wrong at row 3",
        ),
        (pd.Timedelta(days=1), "there twice"),
        (pd.Timedelta(days=40), "lack steps"),
    ],
)
def test_timestamps_off_their_grid_are_refused(written, shift, said):
    table = make_table().drop(columns="step")
    table.loc[2, "timestamp"] += shift
    with pytest.raises(BackboneError, match=said):
        read_forecast_table(written(table))


def test_files_that_are_none_are_refused(written, tmp_path):
    with pytest.raises(BackboneError, match=r"no file of forecasts .*missing\.parquet"):
        load_backbone(tmp_path / "missing.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"no parquet")
    with pytest.raises(BackboneError, match=r"bad\.parquet cannot be used: not readable"):
        load_backbone(tmp_path / "bad.parquet")


def test_the_file_says_which_model_it_is_of(written):
    table = make_table()
    plain = load_backbone(written(table))
    assert (plain.name, plain.licence) == ("precomputed", "not stated")
    assert plain.pretraining_data.datasets is None
    table.attrs = {
        "model": "vendor-3",
        "licence": "commercial",
        "pretraining_data": "web traffic",
        "pretraining_datasets": ["wiki_daily"],
    }
    said = load_backbone(written(table))
    assert (said.name, said.licence) == ("vendor-3", "commercial")
    assert said.pretraining_data.description == "web traffic"
    assert said.pretraining_data.datasets == {"wiki_daily"}
    table.attrs = {"model": "amazon/chronos-bolt-base"}
    assert "m4_hourly" in load_backbone(written(table)).pretraining_data.datasets


def test_the_fingerprint_is_that_of_the_content(written, tmp_path):
    path = written(make_table())
    assert backbone_fingerprint(str(path)) == load_backbone(path).fingerprint
    assert backbone_fingerprint(str(path), kind="precomputed") == load_backbone(path).fingerprint
    other = written(make_table().assign(**{"0.9": 1e6}), "other.parquet")
    assert load_backbone(other).fingerprint != load_backbone(path).fingerprint
    assert backbone_fingerprint(str(tmp_path / "missing.parquet")) is None


def test_options_of_weights_do_not_concern_it(written):
    path = written(make_table())
    options = {"device": "cpu", "batch_size": 4, "revision": None}
    wider = load_backbone(path, kind="precomputed", quantile_levels=(0.3, 0.5), **options)
    found = wider.predict_quantiles(CONTEXTS, H, origins=ASKED)
    np.testing.assert_allclose(found[:, 1], EXPECTED[:, 1], rtol=1e-6)
    np.testing.assert_allclose(found[:, 0], EXPECTED[:, :2].mean(axis=1), rtol=1e-6)
