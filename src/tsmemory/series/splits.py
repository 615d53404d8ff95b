"""Splits by time: where training, validation and test end (METHOD 1.1)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from tsmemory.series.errors import IngestionError, first_of
from tsmemory.series.series_set import Int

ENDS = ("train_end", "validation_end", "test_end")


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
        in the panel's order. Series that are shorter than fixed borders reach are left out.

    Raises:
        IngestionError: Every series is shorter than fixed borders reach.
    """
    length = panel.groupby("item_id", sort=False).size()
    table = pd.DataFrame({"item_id": length.index.astype(str), "length": length.to_numpy()})
    if borders is None:
        table["train_end"] = (table["length"] * train_share).astype(int)
        table["validation_end"] = table["length"] - (table["length"] * test_share).astype(int)
        table["test_end"] = table["length"]
        return table
    reaching = table[table["length"] >= borders[2]].reset_index(drop=True)
    if reaching.empty:
        listed = (f"{row.item_id!r} ({row.length} steps)" for row in table.itertuples())
        raise IngestionError(
            f"ingestion.borders end at step {borders[2]}, but all series are shorter: "
            f"{first_of(listed, len(table))}; give smaller borders, or null to split by shares"
        )
    for name, end in zip(ENDS, borders, strict=True):
        reaching[name] = end
    return reaching


def calendar_overlap(start: Int, borders: pd.DataFrame) -> dict[str, Any]:
    """Find series that train on days on which others are tested.

    Borders are placed within each series. Where series start or end apart, one of them can train
    on the test days of another, and what is common to both leaks.

    Args:
        start: First step of each series on the grid that all share. Shape ``(S,)``.
        borders: Their borders, in the same order.

    Returns:
        ``series``, how many train beyond the validation end of another that is tested meanwhile;
        and ``worst``, the pair with most such steps (``training``, ``tested``, ``steps``), or None.
    """
    ends = borders[list(ENDS)].to_numpy(dtype=np.int64) + start[:, None]
    spans, first, count = np.unique(
        np.column_stack([start, ends]), axis=0, return_index=True, return_counts=True
    )
    begin, train_end, validation_end, test_end = spans.T
    overlapping, most, pair = 0, 0, (0, 0)
    for number in range(len(spans)):  # aligned series share one span
        common = np.minimum(train_end[number], test_end) - np.maximum(begin[number], validation_end)
        other = int(common.argmax())
        if common[other] > 0:
            overlapping += int(count[number])
        if common[other] > most:
            most, pair = int(common[other]), (int(first[number]), int(first[other]))
    item = borders["item_id"].astype(str).to_numpy()
    worst = {"training": str(item[pair[0]]), "tested": str(item[pair[1]]), "steps": most}
    return {"series": overlapping, "worst": worst if most else None}
