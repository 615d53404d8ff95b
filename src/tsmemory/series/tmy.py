"""The sample data: hourly weather of three sites, from the files that pvlib carries."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

HOURS = 8760
# Columns with the least and greatest value that can be weather; outside lie codes for "missing".
PLAUSIBLE = {
    "ghi": (0.0, 1200.0),
    "temperature": (-60.0, 50.0),
    "dew_point": (-70.0, 35.0),
    "humidity": (0.0, 100.0),
    "pressure": (850.0, 1080.0),
    "wind_speed": (0.0, 50.0),
}
_TMY3 = {
    "ghi": "ghi",
    "temperature": "temp_air",
    "dew_point": "temp_dew",
    "humidity": "relative_humidity",
    "pressure": "pressure",
    "wind_speed": "wind_speed",
}
# TMY2 writes temperatures and wind speed in tenths.
_TMY2 = {
    "ghi": ("GHI", 1.0),
    "temperature": ("DryBulb", 10.0),
    "dew_point": ("DewPoint", 10.0),
    "humidity": ("RHum", 1.0),
    "pressure": ("Pressure", 1.0),
    "wind_speed": ("Wspd", 10.0),
}


@dataclass(frozen=True)
class Site:
    """A weather station.

    Attributes:
        item_id: Name of its series.
        file: File in pvlib's data folder.
        read: Reads the file into the columns of :data:`PLAUSIBLE` and ``month, day, hour``.
    """

    item_id: str
    file: str
    read: Callable[[Path], pd.DataFrame]


def build_weather(year: int) -> pd.DataFrame:
    """Build the sample from the typical-meteorological-year files that pvlib carries.

    A typical year is put together from months of different years; all are put on one nominal
    year. A timestamp is the end of its hour in local standard time, as in the files: irradiance is
    the mean over the hour before it, everything else is the state at it. So the first timestamp is
    01:00 on January 1st and the last one 00:00 on January 1st of the next year.

    Args:
        year: The nominal year, not a leap year.

    Returns:
        Long table of 3 x 8,760 rows ``item_id, timestamp, ghi, temperature, dew_point, humidity,
        pressure, wind_speed``: W/m², °C, °C, %, hPa, m/s, as float32.

    Raises:
        ModuleNotFoundError: pvlib is not installed.
        ValueError: The year is a leap year, or a file is not what it should be.
    """
    stamps = pd.date_range(f"{year}-01-01 01:00", f"{year + 1}-01-01", freq="h", unit="ns")
    if len(stamps) != HOURS:
        raise ValueError(f"{year} is a leap year; a typical year has {HOURS} hours")
    folder = _pvlib_data()
    return pd.concat([_series(site, folder, stamps) for site in SITES], ignore_index=True)


def _series(site: Site, folder: Path, stamps: pd.DatetimeIndex) -> pd.DataFrame:
    """One site's year, checked hour by hour and for values that cannot be."""
    table = site.read(folder / site.file)
    begin = stamps - pd.Timedelta(hours=1)
    expected = np.column_stack([begin.month, begin.day, begin.hour + 1])
    if not np.array_equal(table[["month", "day", "hour"]].to_numpy(dtype=np.int64), expected):
        raise ValueError(f"{site.file}: its hours are not those of one ordinary year in order")
    for column, (least, greatest) in PLAUSIBLE.items():
        if not table[column].between(least, greatest).all():
            raise ValueError(f"{site.file}: {column} outside {least:g} to {greatest:g}")
    keys = pd.DataFrame({"item_id": site.item_id, "timestamp": stamps})
    return keys.join(table[list(PLAUSIBLE)].astype(np.float32))


def _read_tmy3(path: Path) -> pd.DataFrame:
    """Read a TMY3 file; its units are ours."""
    from pvlib.iotools import read_tmy3

    data, _ = read_tmy3(path, map_variables=True)
    data = data.reset_index(drop=True)
    date = pd.to_datetime(data["Date (MM/DD/YYYY)"], format="%m/%d/%Y")
    table = pd.DataFrame({"month": date.dt.month, "day": date.dt.day})
    # Hours run from 1 to 24, the 24th belonging to the day that it ends.
    table["hour"] = data["Time (HH:MM)"].str[:2].astype(int)
    return table.assign(**{name: data[column] for name, column in _TMY3.items()})


def _read_tmy2(path: Path) -> pd.DataFrame:
    """Read a TMY2 file, tenths made whole."""
    from pvlib.iotools import read_tmy2

    data, _ = read_tmy2(path)
    data = data.reset_index(drop=True)
    table: pd.DataFrame = data[["month", "day", "hour"]].astype(int)
    return table.assign(**{name: data[column] / unit for name, (column, unit) in _TMY2.items()})


def _pvlib_data() -> Path:
    """Folder of the files that pvlib carries."""
    spec = find_spec("pvlib")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            'the sample is rebuilt from files that pvlib carries: pip install "tsmemory[sample]" '
            '(in a clone: pip install -e ".[sample]")'
        )
    return Path(spec.origin).parent / "data"


SITES = (
    Site("greensboro", "723170TYA.CSV", _read_tmy3),
    Site("sand_point", "703165TY.csv", _read_tmy3),
    Site("miami", "12839.tm2", _read_tmy2),
)
