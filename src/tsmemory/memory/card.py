"""The model card that lies beside a forecaster: what it is, how to use it, what the guard said."""

from collections.abc import Mapping
from typing import Any

from tsmemory.backbones.registry import is_forecast_table
from tsmemory.memory.fusion import Fusion
from tsmemory.memory.shares import share_table

CARD = "README.md"
# A card with this line is ours to replace; without it, it has become the user's.
MARK = "<!-- written by tsmemory; without this line the card is yours and is not replaced -->"

_USE = """```python
from tsmemory import MemoryForecaster

forecaster = MemoryForecaster.from_pretrained("<this folder or hub id>")
table = forecaster.predict_df(df, prediction_length={horizon}, target="{target}")
```"""
_KNOWN = ("bundled", "seasonal_naive")  # backbones that come with tsmemory
_LIMITS = (
    "- It is made for the domain above. Other series are forecast as new ones, by what they have "
    "in common with these.",
    "- The backbone is named, not contained: it is loaded when the forecaster is.",
    "- `config.json` holds the identifiers, training means and standard deviations of the series "
    "that it was made from. Look at it before you publish it.",
)

_ABSENT = (
    "- The backbone is a folder or file of whoever made this: give yours, the same, as "
    "`from_pretrained(..., backbone=...)`."
)


def write_card(config: Mapping[str, Any], card: Mapping[str, str]) -> str:
    """Write a forecaster's model card.

    Args:
        config: What its ``config.json`` holds.
        card: ``licence`` and ``pretraining_data`` of the backbone.

    Returns:
        Markdown with the metadata of the hub in front; the same for the same forecaster.
    """
    fusion, adapter = Fusion.from_json(config["fusion"]), config["adapter"]
    domain, backbone = config["domain"] or "unnamed", config["backbone"]
    channels = list(dict.fromkeys(config["series"]["channel"]))
    use = _USE.format(horizon=adapter["horizon"], target=channels[0] if channels else "target")
    parts = (
        _metadata(backbone),
        MARK,
        f"# Memory of {domain} on {backbone['name']}",
        "A memory adapter made by tsmemory (TS-Memory, arXiv 2602.11550): it corrects the "
        "forecasts of a frozen time-series foundation model for one domain, without retrieval, and "
        "leaves them alone wherever validation showed no gain.",
        f"**Guard:** {fusion.describe()}.",
        use,
        "## Made from",
        _facts(config, channels),
        "## What is fused",
        "Skill is that of the whole on validation, in pinball loss against the frozen backbone; "
        "shares are those of channels without their own.",
        _table(fusion),
        "## Backbone",
        f"`{backbone['source']}` ({backbone['name']}, fingerprint `{backbone['fingerprint']}`), "
        f"licence {card['licence']}. Trained on: {card['pretraining_data']}",
        "## Limits",
        "\n".join(_LIMITS if is_portable(backbone["source"]) else (*_LIMITS, _ABSENT)),
    )
    return "\n\n".join(parts) + "\n"


def is_hub_id(source: str) -> bool:
    """Whether a backbone's source is a hub id, as far as its form tells: no file, no deep path."""
    made = source.startswith((".", "/", "~", "data/")) or is_forecast_table(source)
    return source.count("/") == 1 and not made


def is_portable(source: str) -> bool:
    """Whether a backbone's source means the same on another machine."""
    return source in _KNOWN or is_hub_id(source)


def _metadata(backbone: Mapping[str, Any]) -> str:
    """What the hub reads."""
    lines = [
        "library_name: tsmemory",
        "pipeline_tag: time-series-forecasting",
        "tags:",
        "- time-series",
        "- forecasting",
        "- tsmemory",
    ]
    if is_hub_id(str(backbone["source"])):
        lines.append(f"base_model: {backbone['source']}")
    return "\n".join(["---", *lines, "---"])


def _facts(config: Mapping[str, Any], channels: list[str]) -> str:
    """What the memory was made from."""
    series, adapter, about = config["series"], config["adapter"], config.get("provenance", {})
    facts = {
        "series": f"{len(set(series['item_id']))}, columns {', '.join(channels)}",
        "context": f"{adapter['context_length']} steps",
        "horizon": f"up to {adapter['horizon']} steps; beyond it the backbone stands alone",
    }
    if series.get("freq"):
        facts["step"] = series["freq"]
    if about:
        counts = about["windows"]
        facts["time"] = f"{about['start']} to {about['end']}, the last " + (
            f"{100 * about['validation_share']:.0f} % of each series for validation"
        )
        facts["windows"] = f"{counts['train']} for training, {counts['validation']} for validation"
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())


def _table(fusion: Fusion) -> str:
    """Decision, skill and shares by horizon block."""
    table = share_table(fusion).drop(columns="p_value")
    names = [name.replace("_", " ") for name in table.columns]
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    for row in table.itertuples(index=False):
        cells = ("" if v != v else f"{v:.3f}" if isinstance(v, float) else str(v) for v in row)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
