import inspect

import numpy as np
import pandas as pd
import pytest
from chronos import BaseChronosPipeline
from forecasters import ELSEWHERE, HOURS, IDLE, H, L, make_adapter, make_forecaster, make_frame

from builders import save_tiny_bolt
from tiny_models import save_tiny_chronos2
from tsmemory import MemoryForecaster, load_backbone
from tsmemory.backbones.registry import BUNDLED
from tsmemory.memory.errors import ForecasterError
from tsmemory.memory.forecaster import QUANTILE_LEVELS


@pytest.fixture(scope="module")
def forecaster():
    return make_forecaster()


@pytest.fixture(scope="module")
def chronos():
    return BaseChronosPipeline.from_pretrained(BUNDLED)


def assert_same_table(found, expected):
    """Equal but for crossing quantiles, which chronos returns as they are and we in order."""
    levels = [str(level) for level in QUANTILE_LEVELS]
    ordered = expected.copy()
    ordered[levels] = np.sort(expected[levels], axis=1)
    ordered["predictions"] = ordered["0.5"]
    pd.testing.assert_frame_equal(found, ordered, rtol=1e-4, atol=1e-4)


def idle_on(folder):
    """A forecaster that says what the backbone in a folder says."""
    backbone = load_backbone(folder)
    adapter = make_adapter(backbone, context_length=32)
    return MemoryForecaster(
        backbone, adapter, IDLE, ELSEWHERE, backbone_source=str(folder), domain=None
    )


@pytest.fixture(scope="module")
def idle():
    return make_forecaster(IDLE, context_length=96)


@pytest.mark.parametrize("unit", ["s", "us", "ns"])
@pytest.mark.parametrize("freq", ["h", "15min", "D", "7D", "W-WED", "B", "MS", "ME", "QS", "YS"])
def test_frame_answers_as_chronos_does(idle, chronos, freq, unit):
    frame = make_frame(pd.date_range("2001-01-31", periods=60, freq=freq, unit=unit))
    frame = frame.sample(frac=1, random_state=1)
    expected = chronos.predict_df(frame, prediction_length=30)
    assert_same_table(idle.predict_df(frame, prediction_length=30), expected)


@pytest.mark.parametrize("levels", [[0.5], [0.9, 0.1], [0.1, 0.45, 0.95]])
def test_levels_are_laid_out_as_chronos_does(idle, chronos, levels):
    asked = {"prediction_length": 30, "quantile_levels": levels}
    expected = chronos.predict_df(make_frame(HOURS), **asked)
    found = idle.predict_df(make_frame(HOURS), **asked)
    assert found.dtypes.to_dict() == expected.dtypes.to_dict()
    assert list(found.columns[4:]) == [str(level) for level in levels]


@pytest.mark.filterwarnings("ignore:We recommend keeping prediction length")  # chronos itself
@pytest.mark.parametrize("horizon", [1, 8, 16])
@pytest.mark.parametrize("levels", [None, [0.25, 0.5, 0.75]])
def test_a_tiny_bolt_answers_as_in_chronos(tmp_path, horizon, levels):
    folder = save_tiny_bolt(tmp_path)
    asked = {"prediction_length": horizon} | ({} if levels is None else {"quantile_levels": levels})
    frame = make_frame(HOURS, items=("b", "a", "c")).sample(frac=1, random_state=2)
    expected = BaseChronosPipeline.from_pretrained(folder).predict_df(frame, **asked)
    found = idle_on(folder).predict_df(frame, **asked)
    if levels is None and horizon <= 8:  # farther on, chronos rolls out in another way
        assert_same_table(found, expected)
    keys = ["item_id", "timestamp", "target_name"]
    pd.testing.assert_frame_equal(found[keys], expected[keys])
    assert found.dtypes.to_dict() == expected.dtypes.to_dict()
    assert found.index.equals(expected.index)


def test_several_targets_are_laid_out_as_in_chronos2(tmp_path):
    folder = save_tiny_chronos2(tmp_path)
    asked = {"prediction_length": 5, "target": ["load", "target"], "quantile_levels": [0.1, 0.5]}
    frame = make_frame(HOURS).drop(columns="x").sample(frac=1, random_state=2)
    expected = BaseChronosPipeline.from_pretrained(folder).predict_df(frame, **asked)
    found = idle_on(folder).predict_df(frame, **asked)
    keys = ["item_id", "timestamp", "target_name"]
    pd.testing.assert_frame_equal(found[keys], expected[keys])
    assert found.dtypes.to_dict() == expected.dtypes.to_dict()
    assert list(found.columns) == list(expected.columns)


@pytest.mark.parametrize("freq", [None, "D"])
def test_inputs_that_are_not_validated_are_taken_as_they_come(idle, chronos, freq):
    """Rows count as consecutive, whatever their timestamps: as in chronos."""
    stamps = HOURS.delete([3, 30, 31]) if freq else HOURS
    frame = pd.concat([make_frame(stamps), make_frame(HOURS[:2], items=("short",))])
    asked = {"prediction_length": 5, "freq": freq, "validate_inputs": False}
    assert_same_table(idle.predict_df(frame, **asked), chronos.predict_df(frame, **asked))


def test_scattered_series_are_refused_all_the_same(forecaster):
    frame = make_frame(HOURS).sample(frac=1, random_state=0)
    with pytest.raises(ForecasterError, match="do not stand together; sort the table"):
        forecaster.predict_df(frame, validate_inputs=False)
    with pytest.raises(ForecasterError, match="no item has two timestamps"):
        forecaster.predict_df(make_frame(HOURS[:1]), validate_inputs=False)


@pytest.mark.parametrize("level", [0.001, 0.123, 0.5, 0.999])
def test_any_level_is_answered(forecaster, level):
    table = forecaster.predict_df(make_frame(HOURS), quantile_levels=[level])
    assert np.isfinite(table[str(level)]).all()
    assert (np.sign(table[str(level)] - table["predictions"]) == np.sign(level - 0.5)).all()


@pytest.mark.parametrize("kind", ["int64", "object", "category", "string"])
def test_identifiers_come_back_as_chronos_returns_them(idle, chronos, kind):
    frame = make_frame(HOURS, items=(7, 3, 5))
    frame["item_id"] = frame["item_id"].astype("int64" if kind == "int64" else str).astype(kind)
    frame["timestamp"] = frame["timestamp"].astype(str)
    frame["target"] = frame["target"].astype("float32")
    frame = frame.rename(columns={"item_id": "site", "timestamp": "when", "target": "y"})
    asked = {"id_column": "site", "timestamp_column": "when", "target": "y"}
    expected = chronos.predict_df(frame, prediction_length=H, **asked)
    assert_same_table(idle.predict_df(frame, **asked), expected)


def test_given_frequency_counts_rows_as_chronos_does(idle, chronos):
    holidays = HOURS.delete([3, 30, 31])
    frame = pd.concat([make_frame(holidays), make_frame(HOURS[:2], items=("short",))])
    expected = chronos.predict_df(frame, prediction_length=5, freq="D")
    assert_same_table(idle.predict_df(frame, prediction_length=5, freq="D"), expected)


def test_parameters_and_defaults_are_chronos_own():
    ours = inspect.signature(MemoryForecaster.predict_df).parameters
    theirs = inspect.signature(BaseChronosPipeline.predict_df).parameters
    assert set(theirs) - set(ours) == {"predict_kwargs"}
    assert [name for name in theirs if name in ours] == list(ours)
    for name in set(ours) - {"quantile_levels"}:
        assert ours[name].default == theirs[name].default
        assert ours[name].kind == theirs[name].kind
    assert list(ours["quantile_levels"].default) == theirs["quantile_levels"].default


def test_frame_and_arrays_give_the_same_forecast(forecaster):
    frame = make_frame(HOURS, items=("b", "a", "c"))
    table = forecaster.predict_df(frame, quantile_levels=[0.2, 0.5], batch_size=2)
    values = frame["target"].to_numpy().reshape(3, -1)
    quantiles, median = forecaster.predict_quantiles(values, quantile_levels=[0.2, 0.5])
    assert table["item_id"].tolist() == ["b"] * H + ["a"] * H + ["c"] * H
    np.testing.assert_allclose(table["predictions"], median.ravel(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(table["0.2"], quantiles[:, :, 0].ravel(), rtol=1e-5, atol=1e-5)
    assert (table["0.5"] == table["predictions"]).all()


def test_several_targets_follow_each_other_within_a_series(forecaster):
    frame = make_frame(HOURS)
    table = forecaster.predict_df(frame, target=["load", "target"], prediction_length=3)
    assert table["item_id"].tolist() == ["b"] * 6 + ["a"] * 6
    assert table["target_name"].tolist() == (["load"] * 3 + ["target"] * 3) * 2
    for name in ("load", "target"):
        alone = forecaster.predict_df(frame, target=name, prediction_length=3)
        part = table[table["target_name"] == name].reset_index(drop=True)
        pd.testing.assert_frame_equal(part, alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("freq", "gone"), [("h", [3, 30, 31]), ("D", [70]), ("MS", [5, 40])])
def test_rows_that_lack_become_missing_steps(forecaster, freq, gone):
    stamps = pd.date_range("2019-01-01", periods=L, freq=freq)
    frame = make_frame(stamps)
    gone = [row for row in gone if row < L]
    holes = frame["timestamp"].isin(stamps[gone]) & (frame["item_id"] == "a")
    expected = forecaster.predict_df(frame.assign(target=frame["target"].mask(holes)))
    pd.testing.assert_frame_equal(forecaster.predict_df(frame[~holes]), expected)


def test_series_may_start_and_end_apart_and_be_short(forecaster, caplog):
    frame = pd.concat([make_frame(HOURS, ("a",)), make_frame(HOURS[30:33], ("b",))])
    frame = pd.concat([frame, make_frame(HOURS[:1], ("c",))], ignore_index=True)
    frame["target"] = frame["target"].astype("Float64")
    frame.loc[79, "target"] = pd.NA
    table = forecaster.predict_df(frame, prediction_length=2)
    assert table["timestamp"].tolist() == [
        *(HOURS[-1] + pd.to_timedelta([1, 2], "h")),
        *HOURS[[33, 34, 1, 2]],
    ]
    assert np.isfinite(table["predictions"]).all()
    (record,) = caplog.records
    assert "item 'a' has 63 of 64 steps; item 'b' has 3 of 64 steps" in record.getMessage()


@pytest.mark.parametrize("freq", ["h", "D"])  # clocks change within; a local day has 23 hours
def test_time_zones_are_kept(forecaster, freq):
    stamps = pd.date_range("2024-03-30", periods=45, freq=freq, tz="Europe/Berlin")
    table = forecaster.predict_df(make_frame(stamps, ("a",)), prediction_length=5)
    expected = pd.date_range(stamps[-1], periods=6, freq=freq)[1:]
    assert table["timestamp"].tolist() == expected.tolist()
    assert str(table["timestamp"].dt.tz) == "Europe/Berlin"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.rename(columns={"item_id": "id"}), "more than one row .* apart in id_column"),
        (lambda f: f.drop(columns=["target", "timestamp"]), "no column 'timestamp', 'target'"),
        (lambda f: f[:0], "the table has no rows"),
        (lambda f: f.to_dict("list"), "a pandas DataFrame is needed, got dict"),
        (lambda f: f.set_index("timestamp"), r"no column 'timestamp'; .* call df.reset_index\(\)"),
        (lambda f: f.set_index(["item_id", "timestamp"]), "no column 'item_id', 'timestamp'"),
        (lambda f: f.assign(load=0.0).rename(columns={"load": "target"}), "more than one column"),
        (lambda f: f.assign(item_id=f["item_id"].where(f.index != 4)), "no identifier in row 5"),
        (lambda f: f.assign(target="n"), "target column 'target' holds no numbers"),
        (lambda f: f.assign(timestamp=range(160)), "'timestamp' holds numbers"),
        (lambda f: f.assign(timestamp="soon"), "dates that cannot be read"),
        (lambda f: f.assign(timestamp=f["timestamp"].where(f.index != 6)), "no date in row 7"),
        (lambda f: pd.concat([f, f[5:6]]), "'b' has more than one row at 2024-01-01 05:00:00"),
        (lambda f: f.assign(target=f["target"].where(f["item_id"] == "b")), "steps of item 'a'"),
        (lambda f: f.assign(target=f["target"].where(f.index != 100, np.inf)), "in item 'a'"),
        (lambda f: f.groupby("item_id").head(1), "no item has two timestamps"),
        (
            lambda f: f.assign(
                timestamp=f["timestamp"] + pd.to_timedelta((f.index == 90) * 7, "min")
            ),
            "item 'a' has irregular timestamps: 2024-01-01 10:07:00 does not lie on its h grid",
        ),
        (
            lambda f: f.assign(
                timestamp=HOURS[0] + pd.to_timedelta(np.r_[0:80, np.arange(80) ** 2 * 1.5], "min")
            ),
            "item 'a' has irregular timestamps: .* is followed by",
        ),
        (
            lambda f: pd.concat([f, make_frame(pd.date_range("2024", periods=9), ("daily",))]),
            "item 'daily' does not step by h",
        ),
    ],
)
def test_frames_that_cannot_be_forecast_are_refused(forecaster, change, message):
    with pytest.raises(ForecasterError, match=message):
        forecaster.predict_df(change(make_frame(HOURS)))


def test_a_table_without_identifiers_is_one_series(forecaster):
    frame = make_frame(HOURS, items=("series",))
    expected = forecaster.predict_df(frame)
    alone = frame.drop(columns="item_id")
    pd.testing.assert_frame_equal(forecaster.predict_df(alone), expected)
    assert set(expected["item_id"]) == {"series"}
    assert "item_id" not in alone
    with pytest.raises(ForecasterError, match=r"no column 'flow'; columns found: (?!.*item_id)"):
        forecaster.predict_df(alone, target="flow")
    with pytest.raises(ForecasterError, match="no column 'site'; columns found: timestamp"):
        forecaster.predict_df(alone, id_column="site")


def test_a_high_level_of_a_table_costs_no_precision(forecaster):
    frame = make_frame(HOURS)
    expected = forecaster.predict_df(frame)["predictions"].to_numpy(np.float64)
    higher = frame.assign(target=frame["target"] + 1e6)
    found = forecaster.predict_df(higher)["predictions"].to_numpy(np.float64) - 1e6
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.033)


def test_other_requests_that_cannot_be_met_are_refused(forecaster):
    frame = make_frame(HOURS)
    with pytest.raises(ForecasterError, match="unknown frequency 'hourly'"):
        forecaster.predict_df(frame, freq="hourly")
    with pytest.raises(ForecasterError, match="target names no column"):
        forecaster.predict_df(frame, target=[])
    frame.loc[80:, "load"] = np.nan
    with pytest.raises(ForecasterError, match="item 'a', target 'load'"):
        forecaster.predict_df(frame, target=["target", "load"])
