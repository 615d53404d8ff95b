"""Nodes of the pipeline ``forecasting``."""

import logging

import pandas as pd

from tsmemory.pipelines.forecasting.params import ForecastingParams
from tsmemory.pipelines.ingestion.params import IngestionParams
from tsmemory.pipelines.lazy_types import ForecastTables, MemoryForecaster, Reading, ShardCache
from tsmemory.resolvers import domain as domain_name
from tsmemory.scaleout.config import IN_THIS_PROCESS, ShardsConfig
from tsmemory.series.errors import first_of
from tsmemory.series.partitions import Partitions

logger = logging.getLogger(__name__)


def read_new_tables(
    new_tables: Partitions,
    forecaster: MemoryForecaster,
    ingestion: IngestionParams,
    params: ForecastingParams,
    domain: str,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Look the new data through, and refuse what the forecaster does not fit.

    Args:
        new_tables: One file or many, of which one at a time is read.
        forecaster: What is to forecast them.
        ingestion: What their columns are and which repairs are asked for.
        params: Steps to forecast.
        domain: Name of the domain that the run serves.

    Returns:
        A line for each table, and one for each series and target that cannot be forecast.
    """
    from tsmemory.memory.new_tables import NewTables

    found = NewTables(new_tables, forecaster, _reading(ingestion)).survey()
    _warn(found.tables, found.skipped)
    if found.tables["new"].sum() == found.tables["forecasts"].sum():
        known = dict.fromkeys(forecaster.series.item_id)
        logger.warning(
            "The memory knows none of the series and forecasts them as new ones; it was made from "
            "%s. Series are told by their identifier (ingestion.item_id_column) and column",
            first_of(map(repr, known), len(known)),
        )
    adapter = forecaster.adapter.config
    if (params.prediction_length or 0) > adapter.horizon:
        logger.warning(
            "forecasting.prediction_length = %d: the memory has learnt %d steps; those beyond are "
            "the frozen backbone's own",
            params.prediction_length,
            adapter.horizon,
        )
    if forecaster.domain not in (None, domain_name(domain, None)):
        logger.warning(
            "The forecaster was made from the domain %r, its forecasts are filed under %r; "
            "`domain=<name>` names another place",
            forecaster.domain,
            domain_name(domain, None),
        )
    return found.tables, found.skipped


def forecast_new_tables(
    new_tables: Partitions,
    forecaster: MemoryForecaster,
    survey: pd.DataFrame,
    workspace: ShardCache,
    ingestion: IngestionParams,
    params: ForecastingParams,
    shards: ShardsConfig = IN_THIS_PROCESS,
) -> ForecastTables:
    """Forecast every series of every table.

    Args:
        new_tables: The tables.
        forecaster: What forecasts them.
        survey: A line for each table, from :func:`read_new_tables`.
        workspace: Where unfinished work is kept.
        ingestion: What their columns are and which repairs are asked for.
        params: Steps, levels and sizes.
        shards: Who works through pieces of the tables.

    Returns:
        A table of forecasts for each table: ``item_id, timestamp, target_name, predictions`` (the
        median) and one column for each level.
    """
    from tsmemory.memory.forecast_tables import forecast_tables

    horizon = params.prediction_length or forecaster.adapter.config.horizon
    logger.info("%d forecasts of %d steps", int(survey["forecasts"].sum()), horizon)
    return forecast_tables(
        new_tables,
        survey,
        forecaster,
        reading=_reading(ingestion),
        horizon=horizon,
        levels=params.quantile_levels,
        batch_size=params.batch_size,
        piece=params.shard_size,
        workspace=workspace,
        sharing=shards,
    )


def _reading(ingestion: IngestionParams) -> Reading:
    """What ``ingestion`` says of columns and timestamps."""
    from tsmemory.memory.new_tables import Reading as How

    return How(
        timestamp_column=ingestion.timestamp_column,
        item_id_column=ingestion.item_id_column,
        target_columns=ingestion.target_columns,
        freq=ingestion.freq,
        duplicates=ingestion.duplicates,
        off_grid=ingestion.off_grid,
    )


def _warn(tables: pd.DataFrame, skipped: pd.DataFrame) -> None:
    """Say in one line each what is less certain than it looks, and what is left out."""
    repaired = tables[tables["repairs"] != ""]
    if len(repaired):
        lines = (f"{row.table}: {row.repairs}" for row in repaired.itertuples())
        logger.warning("Tables mended: %s", first_of(lines, len(repaired)))
    if brief := int(tables["incomplete"].sum()):
        where = tables.loc[tables["incomplete"] > 0, "table"]
        logger.warning(
            "%d of %d contexts are not whole, their forecasts are less certain than they look: %s",
            brief,
            int(tables["forecasts"].sum()),
            first_of(where, len(where)),
        )
    if len(skipped):
        lines = (f"{x.item_id!r} {x.target_name!r}: {x.reason}" for x in skipped.itertuples())
        logger.warning("Not forecast: %s", first_of(lines, len(skipped)))
