"""Nodes of the pipeline ``sample``."""

import pandas as pd

from tsmemory.pipelines.sample.params import SampleParams
from tsmemory.series.tmy import build_weather


def rebuild_weather(params: SampleParams) -> pd.DataFrame:
    """Rebuild the weather table from the files that pvlib carries.

    Args:
        params: The nominal year.

    Returns:
        Long table ``item_id, timestamp, ghi, temperature, dew_point, humidity, pressure,
        wind_speed``; see :func:`tsmemory.series.tmy.build_weather`.
    """
    return build_weather(params.year)
