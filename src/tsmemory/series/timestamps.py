"""Timestamps of any usual writing, as datetime64[ns] without a zone."""

import re

import pandas as pd

from tsmemory.series.errors import IngestionError, first_rows

# A zone can only follow a time of day: "2013-01-02" must not read as an offset of two hours.
_ZONE = re.compile(r"^(.*:[\d.,]+)\s*(Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)$", re.IGNORECASE)
_DATES = ("%Y-%m-%d", "%m-%d-%Y", "%d-%m-%Y")
_TIMES = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p")
_UTC = re.compile("^(?:Z|UTC|GMT)$")


def to_timestamps(column: pd.Series) -> tuple[pd.Series, str | None]:
    """Turn a column into timestamps without a zone.

    Dates are ISO 8601, or day, month and year with ``/``, ``.`` or ``-`` between them, with a
    24-hour or AM/PM time. Times that carry one zone become UTC; where every row has one and the
    same local time of day (daily data and coarser), the local dates are kept instead, since in
    UTC they would not be regular.

    Args:
        column: Text, dates or timestamps; its name is used in messages. Shape ``(N,)``.

    Returns:
        The timestamps as ``datetime64[ns]``, shape ``(N,)``, and a note on the zone if there was
        one.

    Raises:
        IngestionError: Dates that cannot be read, can be read in two ways, or mix time zones.
    """
    dtype = column.dtype
    if isinstance(dtype, pd.DatetimeTZDtype):
        _refuse(column, column.isna(), column)
        wall = _nanoseconds(column.dt.tz_localize(None))
        utc = _nanoseconds(column.dt.tz_convert("UTC").dt.tz_localize(None))
        return _without_zone(column, wall, utc, str(dtype.tz))
    if pd.api.types.is_datetime64_dtype(dtype):
        _refuse(column, column.isna(), column)
        return _nanoseconds(column), None
    return _from_text(column)


def _from_text(column: pd.Series) -> tuple[pd.Series, str | None]:
    """Read text, or whatever prints as a date."""
    text = column.map(str, na_action="ignore").astype(object).where(column.notna(), "").str.strip()
    parts = text.str.extract(_ZONE)
    bare = parts[0].where(parts[1].notna(), text)
    zones = parts[1].str.upper().str.replace(_UTC, "+00:00", regex=True)
    times = _parse(column, bare, text)
    zone = _one_zone(column, zones, text)
    if zone is None:
        return times, None
    return _without_zone(column, times, times - _offset(zone), zone)


def _parse(column: pd.Series, bare: pd.Series, text: pd.Series) -> pd.Series:
    """Read text without a zone, by the one format that reads all of it."""
    bare = bare.str.replace(r"^(\d+)[/.](\d+)[/.](\d+)", r"\1-\2-\3", regex=True)
    best = _nanoseconds(pd.to_datetime(bare, format="ISO8601", errors="coerce"))
    if not best.isna().any():
        return best
    whole: list[pd.Series] = []
    head = bare[bare != ""].head(20)
    for form in (date + time for date in _DATES for time in _TIMES):
        if pd.to_datetime(head, format=form, errors="coerce").isna().all():
            continue
        times = _nanoseconds(pd.to_datetime(bare, format=form, errors="coerce"))
        if not times.isna().any():
            whole.append(times)
        if times.isna().sum() < best.isna().sum():
            best = times
    if not whole:
        _refuse(column, best.isna(), text)
    if any(not times.equals(whole[0]) for times in whole[1:]):
        raise IngestionError(
            f"column {column.name!r}: dates such as {text.iloc[0]!r} can be read with the day or "
            "the month first; write them as YYYY-MM-DD"
        )
    return whole[0]


def _one_zone(column: pd.Series, zones: pd.Series, text: pd.Series) -> str | None:
    """The zone that all rows share, ``None`` if no row has one."""
    kinds = zones.fillna("no zone")
    first = kinds.drop_duplicates()
    if len(first) > 1:
        raise IngestionError(
            f"column {column.name!r} mixes time zones ({', '.join(first)}), first at "
            f"{first_rows(~kinds.duplicated().to_numpy(), text)}; write all timestamps in one "
            "zone, best in UTC"
        )
    return None if first.iloc[0] == "no zone" else str(first.iloc[0])


def _without_zone(
    column: pd.Series, wall: pd.Series, utc: pd.Series, zone: str
) -> tuple[pd.Series, str]:
    """Choose between local dates and UTC times, and say which."""
    if (wall - wall.dt.normalize()).nunique() == 1:
        return wall, f"column {column.name!r}: zone {zone} dropped, local dates kept"
    return utc, f"column {column.name!r}: times in zone {zone} converted to UTC"


def _refuse(column: pd.Series, bad: pd.Series, text: pd.Series) -> None:
    """Raise if any row is bad, naming the first."""
    if bad.any():
        raise IngestionError(
            f"column {column.name!r} holds dates that cannot be read, first at "
            f"{first_rows(bad.to_numpy(), text)}; correct or remove them, write dates as "
            "YYYY-MM-DD HH:MM:SS, or name another column in ingestion.timestamp_column"
        )


def _nanoseconds(times: pd.Series) -> pd.Series:
    """Use one resolution whatever pandas chose; what does not fit becomes missing."""
    fits = (times >= pd.Timestamp.min) & (times <= pd.Timestamp.max)
    return times.where(fits).astype("datetime64[ns]")


def _offset(zone: str) -> pd.Timedelta:
    """Offset of a zone written ``+HH``, ``+HHMM`` or ``+HH:MM``."""
    digits = zone[1:].replace(":", "").ljust(4, "0")
    size = pd.Timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return -size if zone[0] == "-" else size
