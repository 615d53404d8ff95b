import importlib.util

import pandas as pd
import pytest

from tsmemory.series import tmy


@pytest.fixture(scope="module")
def shipped(repository):
    return pd.read_parquet(repository / "data" / "01_raw" / "tmy_weather.parquet")


@pytest.fixture(scope="module")
def rebuilt():
    pytest.importorskip("pvlib")
    return tmy.build_weather(2001)


def test_rebuilding_gives_the_shipped_file(shipped, rebuilt):
    pd.testing.assert_frame_equal(rebuilt, shipped, check_exact=True)


def test_shipped_file_is_small(repository):
    assert (repository / "data" / "01_raw" / "tmy_weather.parquet").stat().st_size < 1_000_000


def test_shipped_series_are_whole_and_regular(shipped):
    assert shipped.columns.tolist() == ["item_id", "timestamp", *tmy.PLAUSIBLE]
    assert shipped.groupby("item_id", sort=False).size().to_dict() == {
        "greensboro": 8760,
        "sand_point": 8760,
        "miami": 8760,
    }
    for _, series in shipped.groupby("item_id"):
        stamps = pd.date_range("2001-01-01 01:00", "2002-01-01", freq="h")
        assert (series["timestamp"].to_numpy() == stamps.to_numpy()).all()
    assert not shipped.isna().any().any()
    assert (shipped[list(tmy.PLAUSIBLE)].dtypes == "float32").all()


def test_units_are_the_same_for_all_sites(shipped):
    means = shipped.groupby("item_id")[list(tmy.PLAUSIBLE)].mean()
    assert means["temperature"].round().to_dict() == {
        "greensboro": 14.0,
        "miami": 24.0,
        "sand_point": 4.0,
    }
    assert means["wind_speed"].between(2, 7).all()
    assert (means["dew_point"] < means["temperature"]).all()
    # The sun is highest about noon by local standard time, an hour or two later in west Alaska.
    noon = shipped.groupby(["item_id", shipped["timestamp"].dt.hour])["ghi"].mean()
    peaks = {item: hours.idxmax()[1] for item, hours in noon.groupby(level=0)}
    assert peaks == {"greensboro": 13, "miami": 13, "sand_point": 14}
    night = shipped["timestamp"].dt.hour.isin([0, 1, 2, 3])
    assert (shipped.loc[night, "ghi"] == 0).all()


def test_leap_year_is_refused():
    with pytest.raises(ValueError, match="2004 is a leap year"):
        tmy.build_weather(2004)


def test_missing_pvlib_says_what_to_install(monkeypatch):
    monkeypatch.setattr(tmy, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install .*\[sample\]"):
        tmy.build_weather(2001)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.assign(ghi=9999.0), "ghi outside"),
        (lambda table: table.iloc[::-1].reset_index(drop=True), "not those of one ordinary year"),
        (lambda table: table.iloc[:-1], "not those of one ordinary year"),
    ],
)
@pytest.mark.skipif(importlib.util.find_spec("pvlib") is None, reason="pvlib is not installed")
def test_damaged_files_are_refused(monkeypatch, change, message):
    site = tmy.SITES[0]
    broken = tmy.Site(site.item_id, site.file, lambda path: change(site.read(path)))
    monkeypatch.setattr(tmy, "SITES", (broken,))
    with pytest.raises(ValueError, match=f"{site.file}: .*{message}"):
        tmy.build_weather(2001)
