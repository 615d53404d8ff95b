"""The figures of data-parallel training: a model of its steps, and what was measured."""

import pandas as pd
import plotly.graph_objects as go

from tsmemory.evaluation.house_style import GREY, axis_title, line_trace, new_figure

_COLOURS = ("#3B82E6", "#00957A", "#D55E00", "#A63FB5", "#8A8A2E", "#C2557F")


def draw_step_model(table: pd.DataFrame) -> go.Figure:
    """Draw how many messages follow on each other in an all-reduce.

    Args:
        table: Table ``ranks, group, plain, hierarchical``, as
            :func:`tsmemory.scaleout.step_model.step_table` makes it.

    Returns:
        A line for the ring and one for each size of groups, on logarithmic axes.
    """
    figure = new_figure("Steps of an all-reduce: a model, not a measurement")
    plain = table.drop_duplicates("ranks").sort_values("ranks")
    ring = line_trace(plain["ranks"], plain["plain"], GREY, "ring: 2(p - 1)", dash="dash")
    figure.add_trace(ring)
    for number, (group, lines) in enumerate(table.groupby("group")):
        name = f"groups of {group}: 4(k - 1) + 2(p/k - 1)"
        colour = _COLOURS[number % len(_COLOURS)]
        figure.add_trace(line_trace(lines["ranks"], lines["hierarchical"], colour, name))
    ticks = {"type": "log", "tickmode": "array", "tickvals": plain["ranks"].tolist()}
    figure.update_xaxes(**ticks, title_text=axis_title("ranks p"))
    figure.update_yaxes(type="log", title_text=axis_title("steps"))
    return figure


def draw_communication(table: pd.DataFrame) -> go.Figure:
    """Draw how fast training was with each way to exchange gradients.

    Args:
        table: Table ``link, way, steps_per_second``, as
            :mod:`tsmemory.scaleout.bench_communication` writes it.

    Returns:
        Bars, a group of them for each way and a colour for each link.
    """
    figure = new_figure("Data-parallel training: measured steps per second")
    links = table[table["link"] != "none"]
    for number, (link, lines) in enumerate(links.groupby("link", sort=False)):
        figure.add_trace(
            go.Bar(
                x=lines["steps_per_second"].tolist(),
                y=lines["way"].tolist(),
                orientation="h",
                name=str(link),
                marker_color=_COLOURS[number % len(_COLOURS)],
            )
        )
    figure.update_layout(barmode="group")
    figure.update_xaxes(title_text=axis_title("steps per second"))
    figure.update_yaxes(autorange="reversed", automargin=True)
    return figure
