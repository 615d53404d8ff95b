"""Where contexts end: told to backbones that look their forecasts up."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsmemory.backbones import Backbone, Origins
from tsmemory.memory.errors import ForecasterError
from tsmemory.memory.known_series import Unit
from tsmemory.series.series_set import SeriesSet
from tsmemory.series.windows import Windows


def window_origins(windows: Windows, series: SeriesSet) -> Origins:
    """Origins of windows, whose contexts are in train z units.

    Args:
        windows: N windows.
        series: The rows they lie on.

    Returns:
        N origins.
    """
    return Origins(
        items=series.item_id[windows.row],
        channels=series.channel[windows.row],
        timestamps=series.timestamps(windows.row, windows.origin - 1),
        loc=series.mean[windows.row],
        scale=series.std[windows.row],
    )


def raw_origins(
    items: NDArray[Any], channels: Sequence[str], last: NDArray[np.datetime64]
) -> Origins:
    """Origins of contexts in their own unit, every channel of every item.

    Args:
        items: Identifiers. Shape ``(S,)``.
        channels: Names of the C channels.
        last: Last step of each item. Shape ``(S,)``.

    Returns:
        ``S * C`` origins, ordered by item.
    """
    count, size = len(channels), len(items) * len(channels)
    return Origins(
        items=np.repeat(items.astype(str), count),
        channels=np.tile(np.array(channels, dtype=object), len(items)),
        timestamps=np.repeat(last.astype("datetime64[ns]"), count),
        loc=np.zeros(size),
        scale=np.ones(size),
    )


def refuse_bare_contexts(backbone: Backbone) -> None:
    """Refuse contexts without origins where the backbone needs them.

    Raises:
        ForecasterError: It does.
    """
    if backbone.needs_origins:
        raise ForecasterError(
            f"the backbone {backbone.name!r} looks forecasts up by series and time, which bare "
            "contexts do not tell: use predict_df"
        )


def asked_at(origins: Origins | None) -> dict[str, Any]:
    """Further arguments of a backbone's methods: none for one that does not look forecasts up."""
    return {} if origins is None else {"origins": origins}


def take_origins(origins: Origins | None, which: slice, unit: Unit) -> Origins | None:
    """The chosen origins, if there are any, of contexts that were brought into a unit."""
    if origins is None:
        return None
    chosen = Origins._make(values[which] for values in origins)
    return chosen._replace(loc=unit.level, scale=unit.scale)


def check_origins(backbone: Backbone, origins: Origins, horizon: int) -> None:
    """Refuse, before any long work, what a backbone that looks forecasts up does not hold.

    Args:
        backbone: A backbone that needs origins, perhaps behind an adapter of its levels.
        origins: All that it will be asked for.
        horizon: H, steps.

    Raises:
        BackboneError: Forecasts are missing; counts them and names the first.
    """
    check = getattr(getattr(backbone, "inner", backbone), "check_origins", None)
    if check is not None:
        check(origins, horizon)
