"""The manifest: what a run was given, what it made, and what it took."""

import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tsmemory.fingerprint import NUMERIC_PACKAGES, digest, installed_versions
from tsmemory.runs.artefacts import dataset_of
from tsmemory.runs.meter import highest_resident_bytes
from tsmemory.runs.record import RunRecord

BACKBONE_CARD = "backbone_card"
_WITHOUT_EFFECT = ("mlflow", "resume")  # parameters that change nothing in the results
_PACKAGES = (*NUMERIC_PACKAGES, "kedro", "kedro-datasets", "pyarrow", "safetensors", "tsmemory")


def build_manifest(record: RunRecord, error: BaseException | None = None) -> dict[str, Any]:
    """Describe a finished run.

    Args:
        record: The run.
        error: What ended it, if it failed.

    Returns:
        JSON-like values; see the keys below. Memory is in bytes, time in seconds, dates are UTC.
    """
    parameters = dict(record.plan.parameters)
    run = record.run_params
    return {
        "status": "failed" if error is not None else "completed",
        "error": None if error is None else f"{type(error).__name__}: {error}",
        "started": record.started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - record.clock, 3),
        "peak_memory_bytes": max(record.meter.peak, highest_resident_bytes()),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "run_id": run.get("run_id"),
        "env": run.get("env"),
        "pipelines": run.get("pipeline_names") or ["__default__"],
        "parameters": parameters,
        "parameters_fingerprint": digest(
            {name: value for name, value in parameters.items() if name not in _WITHOUT_EFFECT}
        ),
        "seeds": _seeds("", _taken(record, parameters)),
        "tuned_by": _studies(_taken(record, parameters)),
        "inputs": _inputs(record),
        "nodes": _nodes(record),
        "artefacts": _artefacts(record),
        "backbone": None if error is not None else backbone_card(record),
        "packages": installed_versions(_PACKAGES),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "git": record.git,
    }


def backbone_card(record: RunRecord) -> dict[str, Any] | None:
    """What a completed run's evaluation says of the frozen backbone; ``None`` if it had none."""
    dataset = dataset_of(record.catalog, BACKBONE_CARD)
    if (
        BACKBONE_CARD not in record.pipeline.all_outputs()
        or dataset is None
        or not dataset.exists()
    ):
        return None
    card: dict[str, Any] = dataset.load()
    return card


def _taken(record: RunRecord, parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters that the run's pipeline takes: those of other pipelines say nothing of it."""
    names = {name.removeprefix("params:") for name in record.pipeline.inputs()}
    roots = {name.partition(".")[0] for name in names}
    return {name: value for name, value in parameters.items() if name in roots}


def _seeds(path: str, value: Any) -> dict[str, Any]:
    """Every parameter named ``seed`` or ``seeds``, by its dotted path."""
    seeds: dict[str, Any] = {}
    for name, part in value.items() if isinstance(value, dict) else ():
        if name in ("seed", "seeds"):
            seeds[f"{path}{name}"] = part
        seeds |= _seeds(f"{path}{name}.", part)
    return seeds


def _studies(parameters: dict[str, Any]) -> dict[str, str]:
    """Fingerprints of the studies that parameters come from, by the block that asked for them."""
    blocks = {name: value for name, value in parameters.items() if isinstance(value, dict)}
    return {name: block["tuned_by"] for name, block in blocks.items() if block.get("tuned_by")}


def _inputs(record: RunRecord) -> list[dict[str, Any]]:
    """Data that no pipeline makes, with the digest of its content."""
    sources: dict[str, str | None] = {}
    for origin in record.plan.origins.values():
        sources |= origin.recipe.sources
    return [{"dataset": name, "fingerprint": content} for name, content in sorted(sources.items())]


def _nodes(record: RunRecord) -> list[dict[str, Any]]:
    """Time and peak memory of each node; those that were reused took none."""
    lines = []
    for node in record.pipeline.nodes:
        cost = record.meter.costs.get(node.name)
        lines.append(
            {
                "node": node.name,
                "reused": node.name in record.reused,
                "seconds": None if cost is None else round(cost.finished - cost.started, 3),
                "peak_memory_bytes": None if cost is None else cost.peak,
            }
        )
    return lines


def _artefacts(record: RunRecord) -> list[dict[str, Any]]:
    """What the run used and made, as the ledger knows it."""
    plan = record.plan
    outputs = {n: node for node in record.pipeline.nodes for n in node.outputs}
    reused = {n: e for n, e in plan.reused.items() if outputs[n].name in record.reused}
    entries = {**plan.inputs, **reused, **record.made}
    return [
        {
            "dataset": name,
            "version": entry.version,
            "path": entry.path,
            "fingerprint": entry.fingerprint,
            "sha256": entry.sha256,
            "bytes": entry.bytes,
            "made_now": name in record.made,
        }
        for name, entry in sorted(entries.items())
    ]
