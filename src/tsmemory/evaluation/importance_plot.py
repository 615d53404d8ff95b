"""The figure of which sites matter: importance by layer and module."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from tsmemory.evaluation.house_style import (
    METHODS,
    TRUTH,
    axis_title,
    literal,
    new_figure,
    tint,
)

_ACCENT = METHODS["trace"].colour
# As data pass through a block.
_ORDER = ("q", "k", "v", "o", "group_v", "group_o", "wi", "wi_0", "wi_1", "wo")
COLUMNS = (
    *("row", "seed", "round", "step", "site", "layer", "kind"),
    *("score", "standard_error", "open"),
)
_KEPT = {"kept by every seed": "circle", "kept by some seeds": "circle-open"}


def last_scores(importance: pd.DataFrame) -> pd.DataFrame:
    """What the last round of every seed said of each site, in parts of that seed's largest score.

    Args:
        importance: Table ``seed, round, site, layer, kind, score, standard_error, open``.

    Returns:
        Table ``site, layer, kind, score, standard_error, relative, kept, seeds``: means over seeds,
        and how many of them keep the site.
    """
    last = importance["round"] == importance.groupby("seed")["round"].transform("max")
    lines = importance[last].copy()
    largest = lines["score"].abs().groupby(lines["seed"]).transform("max")
    lines["relative"] = (lines["score"] / largest).where(largest > 0, 0.0)
    found = lines.groupby(["site", "layer", "kind"], sort=False).agg(
        score=("score", "mean"),
        standard_error=("standard_error", "mean"),
        relative=("relative", "mean"),
        kept=("open", "sum"),
        seeds=("seed", "nunique"),
    )
    return found.reset_index()


def draw_importance(importance: pd.DataFrame) -> go.Figure:
    """Draw the importance of each site, and which are kept.

    Args:
        importance: Table ``seed, round, site, layer, kind, score, standard_error, open``; empty
            where no row has chosen sites.

    Returns:
        A heat map of the last round, layers upwards, modules from left to right, as parts of each
        seed's largest score and in the mean over seeds.
    """
    figure = new_figure("Importance of the encoder's modules")
    sites = last_scores(importance)
    kinds = sorted(set(sites["kind"].astype(str)), key=_place)
    layers = sorted(set(sites["layer"].tolist()))
    if layers:
        figure.add_trace(_cells(sites, layers, kinds))
        for trace in _marks(sites, layers, kinds):
            figure.add_trace(trace)
    figure.update_xaxes(
        title_text=axis_title("module"),
        tickvals=list(range(len(kinds))),
        ticktext=[literal(kind) for kind in kinds],
        range=[-0.5, len(kinds) - 0.5],
        showgrid=False,
    )
    figure.update_yaxes(
        title_text=axis_title("layer"),
        tickvals=list(range(len(layers))),
        ticktext=[str(layer) for layer in layers],
        range=[-0.5, len(layers) - 0.5],
        showgrid=False,
    )
    figure.update_layout(legend={"y": 0, "yanchor": "bottom"})
    return figure


def _cells(sites: pd.DataFrame, layers: Sequence[int], kinds: Sequence[str]) -> go.Heatmap:
    """One cell for each layer and module; empty where the model has no such site."""
    values = np.full((len(layers), len(kinds)), np.nan)
    texts = np.full(values.shape, "", dtype=object)
    for line in sites.to_dict("records"):
        place = layers.index(line["layer"]), kinds.index(str(line["kind"]))
        values[place] = line["relative"]
        texts[place] = (
            f"{literal(line['site'])}<br>score {line['score']:.3g} ± {line['standard_error']:.2g}"
            f"<br>{line['relative']:.0%} of the largest<br>"
            f"kept by {line['kept']} of {line['seeds']} seed(s)"
        )
    return go.Heatmap(
        z=[[None if np.isnan(value) else float(value) for value in row] for row in values],
        hovertext=texts.tolist(),
        hoverinfo="text",
        colorscale=[[0, tint(_ACCENT, 0.06)], [1, tint(_ACCENT, 0.95)]],
        zmin=min(0.0, float(np.nanmin(values))),
        zmax=1.0,
        xgap=3,
        ygap=3,
        colorbar={"title": {"text": "part of the largest"}, "tickformat": ".0%", "len": 0.7},
    )


def _marks(sites: pd.DataFrame, layers: Sequence[int], kinds: Sequence[str]) -> list[go.Scatter]:
    """A mark in the cells of sites that are kept, by every seed or by some."""
    every = sites["kept"] == sites["seeds"]
    some = (sites["kept"] > 0) & ~every
    traces = []
    for (label, symbol), chosen in zip(_KEPT.items(), (every, some), strict=True):
        own = sites[chosen]
        traces.append(
            go.Scatter(
                x=[kinds.index(str(kind)) for kind in own["kind"]],
                y=[layers.index(layer) for layer in own["layer"]],
                name=label,
                mode="markers",
                marker={"color": TRUTH, "symbol": symbol, "size": 11, "line": {"width": 2}},
                hoverinfo="skip",
            )
        )
    return traces


def _place(kind: str) -> tuple[int, str]:
    """Known modules in the order of a block, others after them."""
    return (_ORDER.index(kind) if kind in _ORDER else len(_ORDER)), kind
