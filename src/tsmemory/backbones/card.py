"""What a report says of the backbone behind it."""

from typing import Any

from tsmemory.backbones.pretraining_data import contamination
from tsmemory.backbones.protocol import Backbone


def backbone_card(backbone: Backbone, benchmark: str | None) -> dict[str, Any]:
    """Describe a backbone as JSON-like values.

    Args:
        backbone: The backbone.
        benchmark: The public benchmark that the domain is, if any; see
            :func:`~tsmemory.backbones.pretraining_data.benchmark_of`.

    Returns:
        What it is, its licence, what it was trained on, and in ``contamination`` a sentence where
        its results on the benchmark are, or may be, flattered.
    """
    known = backbone.pretraining_data.datasets
    return {
        "name": backbone.name,
        "fingerprint": backbone.fingerprint,
        "licence": backbone.licence,
        "pretraining_data": backbone.pretraining_data.description,
        "pretraining_datasets": None if known is None else sorted(known),
        "quantile_levels": list(backbone.quantile_levels),
        "native_horizon": backbone.native_horizon,
        "benchmark": benchmark,
        "contamination": contamination(backbone.pretraining_data, benchmark),
    }
