"""The report as one page that needs no network, and as data."""

import json
import math
from dataclasses import asdict
from importlib import resources
from typing import Any

from tsmemory.evaluation.report.parts import Chart, Report

_TEMPLATE = "page.html"


def render_page(report: Report) -> str:
    """The report as HTML: everything it needs is in it, names are escaped.

    Args:
        report: What it says.

    Returns:
        The page.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    text = resources.files(__package__).joinpath(_TEMPLATE).read_text(encoding="utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    figures = {
        chart.name: _figure(chart) for section in report.sections for chart in section.charts
    }
    return environment.from_string(text).render(
        report=report,
        plotly=Markup(get_plotlyjs()),
        figures=Markup(_inside_script(json.dumps(figures, separators=(",", ":")))),
    )


def render_data(report: Report) -> dict[str, Any]:
    """The report as data: its sentences, and all figures behind its tables.

    Args:
        report: What it says.

    Returns:
        JSON-like values; tables as ``sections[section]["tables"][table]["data"]``.
    """
    data: dict[str, Any] = _plain(
        {
            "domain": report.domain,
            "made_at": report.made_at,
            "verdict": report.verdict,
            "warnings": report.warnings,
            "tiles": [asdict(tile) for tile in report.tiles],
            "sections": {
                section.name: {
                    "title": section.title,
                    "text": section.text,
                    "charts": {chart.name: chart.caption for chart in section.charts},
                    "tables": {
                        table.name: {"caption": table.caption, "data": table.data}
                        for table in section.tables
                    },
                }
                for section in report.sections
            },
        }
    )
    return data


def _figure(chart: Chart) -> dict[str, Any]:
    """A figure for the page, whose heading and caption stand in for its title."""
    figure: dict[str, Any] = json.loads(chart.figure.to_json())
    layout = figure["layout"]
    layout.pop("title", None)
    layout["margin"] = {"l": 64, "r": 24, "t": 36, "b": 56}
    above = 1 + _LEGEND_SHARE / max(1, layout.get("height", 0) / _USUAL_HEIGHT)
    layout["legend"] = {**layout.get("legend", {}), **_LEGEND_ABOVE, "y": above}
    return {"data": figure["data"], "layout": layout}


# Beside the figure it would take a quarter of a laptop's width.
_LEGEND_ABOVE = {
    "orientation": "h",
    "x": 0,
    "xanchor": "left",
    "yanchor": "bottom",
}
_LEGEND_SHARE, _USUAL_HEIGHT = 0.1, 440  # how far above, as a share of a figure of this many pixels


def _inside_script(text: str) -> str:
    """JSON that cannot end the script element that it stands in."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _plain(value: Any) -> Any:
    """Values that JSON knows: text keys, lists, and ``None`` for what is not finite."""
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
