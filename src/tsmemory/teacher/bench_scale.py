"""What a window costs with many of them; ``python -m tsmemory.teacher.bench_scale``.

Windows of a made-up panel are embedded by the bundled backbone, indexed, and searched for their
neighbours, as the pipelines do it; each stage is timed, and the memory of all processes is watched.
"""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from tsmemory.backbones import load_backbone
from tsmemory.retrieval.datastore import Datastore, IndexKind
from tsmemory.retrieval.embargo import embargoed_positions
from tsmemory.retrieval.embeddings import embed_windows
from tsmemory.retrieval.keys import KeyConfig
from tsmemory.retrieval.matrix import nearest_in_blocks
from tsmemory.scaleout.config import ShardsConfig
from tsmemory.scaleout.shards import ShardCache
from tsmemory.scaleout.stage_meter import StageMeter
from tsmemory.scaleout.writing import write_whole
from tsmemory.series.series_set import Float, SeriesSet
from tsmemory.series.windows import Windows
from tsmemory.teacher.neighbours import Neighbours, find_neighbours
from tsmemory.teacher.synthesis import Teacher

_STARTS = 1000  # windows of a series
_STRIDE = 8
_QUANTILES = 20_000  # windows whose quantiles are formed; they are never kept for all
_RECALL = 512  # windows whose neighbours are compared with the exact ones
_BLOCK = 1 << 15
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scale:
    """What is measured.

    Attributes:
        windows: Stored windows, each of which is a query as well; a multiple of a thousand.
        context_length: L.
        horizon: H.
        k: Neighbours.
        index_kind: As ``indexing.index_kind``.
        backbone: Whose embeddings.
        device: Torch device of backbone, search and quantiles; ``cpu`` searches with faiss.
    """

    windows: int
    context_length: int = 512
    horizon: int = 96
    k: int = 20
    index_kind: IndexKind = "auto"
    backbone: str = "bundled"
    device: str = "cpu"


def make_panel(scale: Scale, rng: np.random.Generator) -> tuple[SeriesSet, Windows]:
    """Hourly series with daily and weekly rhythms, drift and noise, and windows over them.

    Args:
        scale: How many windows; a thousand on each series, eight steps apart.
        rng: Draws the series.

    Returns:
        The series, in z units, and the windows.
    """
    count = max(1, scale.windows // _STARTS)
    length = (_STARTS - 1) * _STRIDE + scale.context_length + scale.horizon
    step = np.arange(length)
    rows = np.empty((count, length), np.float32)
    for row in rows:
        size, phase = rng.gamma(2, 0.5, 4), rng.uniform(0, 168, 3)
        drift = np.cumsum(rng.normal(0, 0.05, length))
        row[:] = rng.normal(0, 0.3 * rng.gamma(2, 0.5), length)
        row += size[3] * 0.3 * (drift - drift.mean())
        for amplitude, shift, period in zip(size, phase, (24, 168, 12), strict=False):
            row += amplitude * np.sin(2 * np.pi * (step + shift) / period)
        row[:] = (row - row.mean()) / row.std()
    series = SeriesSet(
        flat=rows.ravel(),
        offset=np.arange(count) * length,
        length=np.full(count, length),
        item_id=np.array([f"s{number}" for number in range(count)], dtype=object),
        channel=np.full(count, "value", dtype=object),
        calendar=np.zeros(count, np.int64),
        mean=np.zeros(count),
        std=np.ones(count),
        begin=np.full(count, np.datetime64("2024-01-01", "ns")),
        freq="h",
    )
    windows = Windows(
        row=np.repeat(np.arange(count), _STARTS),
        start=np.tile(np.arange(_STARTS) * _STRIDE, count),
        limit=np.full(count * _STARTS, length),
        context_length=scale.context_length,
        horizon=scale.horizon,
    )
    return series, windows


def measure(scale: Scale, folder: Path, sharing: ShardsConfig, seed: int = 0) -> dict[str, Any]:
    """Take all steps from series to teacher.

    Args:
        scale: How many windows, and settings.
        folder: Where shards and the datastore are written; must be empty.
        sharing: Who works through shards.
        seed: Of the panel.

    Returns:
        ``stages`` (``seconds``, ``cpu_seconds``, ``cpu_ms_a_window`` and the peak memory of all
        processes together, ``peak_mb`` and, without what is mapped from files, ``anonymous_mb``),
        their sums, and ``index``: kind, lists, probes and recall on windows that it was not tuned
        on.
    """
    meter = StageMeter()
    with meter.stage("panel", scale.windows):
        series, windows = make_panel(scale, np.random.default_rng(seed))
    with meter.stage("embedding", len(windows)):
        keys = embed_windows(
            load_backbone(scale.backbone, device=scale.device),
            windows,
            series,
            config=KeyConfig(),
            shard_size=2048,
            cache=ShardCache(folder / "keys"),
            sharing=sharing,
        )
    with meter.stage("index", len(windows)):
        datastore = Datastore.build(
            *(keys, windows, series),
            key=KeyConfig(),
            index_kind=scale.index_kind,
            same_channel=True,
        )
        datastore.save_pretrained(folder / "datastore")
        index = _about(datastore)
        del datastore
    datastore = Datastore.from_pretrained(folder / "datastore", mapped=True)
    with meter.stage("neighbours", len(windows)):
        neighbours = find_neighbours(
            *(datastore, keys, windows, series),
            k=scale.k,
            k_min=5,
            temperature=0.12,
            embargo="overlap",
            shard_size=8192,
            cache=ShardCache(folder / "neighbours"),
            device=scale.device,
            sharing=sharing,
        )
    sample = np.linspace(0, len(windows) - 1, min(_QUANTILES, len(windows))).astype(np.int64)
    levels = tuple(np.arange(1, 10) / 10)
    teacher = Teacher(datastore, series, levels, 16, "midpoint", device=scale.device)
    with meter.stage("quantiles", len(sample)):
        for part in np.array_split(sample, max(1, len(sample) // 256)):
            teacher.quantiles(windows.take(part), neighbours.take(part), scale.horizon)
    index["recall_of_neighbours"] = _recall(datastore, keys, windows, series, neighbours, scale.k)
    return {"windows": len(windows), "index": index, **meter.summary(leave_out="panel")}


def _about(datastore: Datastore) -> dict[str, Any]:
    index = datastore.indexes[0]
    about = {"kind": datastore.index_kind, "recall_at_build": round(datastore.recall, 4)}
    if datastore.index_kind == "ivf":
        about |= {"lists": int(index.nlist), "probes": int(index.nprobe)}
    return about


def _recall(
    datastore: Datastore,
    keys: Float,
    windows: Windows,
    series: SeriesSet,
    neighbours: Neighbours,
    k: int,
) -> float:
    """Share of the exact nearest admissible windows among the neighbours of a random sample."""
    rng = np.random.default_rng(1)
    sample = np.sort(rng.choice(len(windows), min(_RECALL, len(windows)), replace=False))
    order = np.lexsort((windows.row, windows.calendar(series)))  # as the datastore has them
    low, high = embargoed_positions(
        datastore.calendar,
        windows.take(sample).calendar(series),
        context_length=windows.context_length,
        horizon=windows.horizon,
        embargo="overlap",
    )
    blocks = (
        (first, torch.from_numpy(datastore.scaler(keys[order[first : first + _BLOCK]])))
        for first in range(0, len(order), _BLOCK)
    )
    queries = torch.from_numpy(datastore.scaler(keys[sample]))
    exact = nearest_in_blocks(blocks, queries, torch.from_numpy(low), torch.from_numpy(high), k)
    found = neighbours.position[sample]
    pairs = zip(exact.numpy(), found, strict=True)
    return float(np.mean([len(np.intersect1d(a[a >= 0], b)) / (a >= 0).sum() for a, b in pairs]))


def main(arguments: Sequence[str]) -> None:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, nargs="+", default=[100_000])
    parser.add_argument("--index", default="auto", choices=["auto", "flat", "ivf", "hnsw"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--executor",
        choices=["inline", "processes", "dask"],
        help="who works through shards; by default processes, and inline on another device",
    )
    parser.add_argument("--workers", type=int)
    parser.add_argument("--folder", type=Path, help="for shards; by default a temporary one")
    parser.add_argument("--out", type=Path, help="a JSON file for what was found")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if chosen.executor is None:  # each process would take its own share of a GPU's memory
        chosen.executor = "processes" if chosen.device == "cpu" else "inline"
    sharing = ShardsConfig(chosen.executor, None if chosen.executor == "inline" else chosen.workers)
    if chosen.folder is not None:
        chosen.folder.mkdir(parents=True, exist_ok=True)
    found = []
    for count in chosen.windows:
        with TemporaryDirectory(dir=chosen.folder, prefix="bench_scale_") as folder:
            scale = Scale(count, index_kind=chosen.index, device=chosen.device)
            found.append(measure(scale, Path(folder), sharing))
        logger.info(json.dumps(found[-1], indent=1))
        if chosen.out is not None:
            write_whole(chosen.out, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
