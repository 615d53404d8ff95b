"""Splits by time: where training, validation and test end (METHOD 1.1)."""

from collections.abc import Sequence

import pandas as pd

from tsmemory.series.errors import IngestionError, first_of


def split_borders(
    panel: pd.DataFrame,
    *,
    borders: Sequence[int] | None = None,
    train_share: float = 0.7,
    test_share: float = 0.2,
) -> pd.DataFrame:
    """Place the borders of the splits in every series.

    With shares, ``int(length * train_share)`` steps train and the last
    ``int(length * test_share)`` test; validation is what lies between, as the long-horizon
    benchmarks do it (METHOD 1.1).

    Args:
        panel: Regular panel.
        borders: Ends of training, validation and test in steps from the start of each series,
            the same for all; ``None`` uses the shares.
        train_share: Share of each series that trains.
        test_share: Share of each series that tests.

    Returns:
        Table ``item_id, length, train_end, validation_end, test_end``, steps within each series,
        in the panel's order.

    Raises:
        IngestionError: A series is shorter than fixed borders reach.
    """
    length = panel.groupby("item_id", sort=False).size()
    table = pd.DataFrame({"item_id": length.index.astype(str), "length": length.to_numpy()})
    if borders is None:
        table["train_end"] = (table["length"] * train_share).astype(int)
        table["validation_end"] = table["length"] - (table["length"] * test_share).astype(int)
        table["test_end"] = table["length"]
        return table
    short = table[table["length"] < borders[2]]
    if len(short):
        listed = (f"{row.item_id!r} ({row.length} steps)" for row in short.itertuples())
        raise IngestionError(
            f"ingestion.borders end at step {borders[2]}, but these series are shorter: "
            f"{first_of(listed, len(short))}; give smaller borders, or null to split by shares"
        )
    table["train_end"], table["validation_end"], table["test_end"] = borders
    return table
