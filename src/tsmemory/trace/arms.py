"""The rows of the TRACE table: what is adapted, and how, on the same windows (METHOD 2.2).

Rows start from the same closed-form head and are trained by the same schedule. Training that does
not help on the selection part of validation is undone, so that no row is worse there than its
start.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch

from tsmemory.trace.adapters import AdaLora, Adapter, LoraAdapter, WholeEncoder
from tsmemory.trace.bench import Bench
from tsmemory.trace.config import HeadConfig
from tsmemory.trace.errors import TraceError
from tsmemory.trace.gates import GatedLora
from tsmemory.trace.heads import trainable_parameter_count
from tsmemory.trace.model import TraceModel
from tsmemory.trace.rounds import Rounds
from tsmemory.trace.selection import by_kind, redistribute_rank
from tsmemory.trace.sites import Site, lora_sites, sites_named
from tsmemory.trace.training import Course, fine_tune

IMPORTANCE = ("round", "step", "site", "layer", "kind", "score", "standard_error", "open")
_BYTES = 4  # of a float32
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Arm:
    """A row.

    Attributes:
        note: What is adapted, in a few words for the table.
        head: The configured (reconstructed) head, the flat linear one, or the backbone's own.
        adapter: What is trained beside the head.
        sites: Which sites have adapters in the end: all, the query and value projections, those
            chosen in rounds by their importance, at random or by their magnitude, or given ones.
    """

    note: str
    head: Literal["configured", "linear", "native"]
    adapter: Literal["none", "lora", "adalora", "full"] = "none"
    sites: Literal["all", "qv", "importance", "random", "magnitude", "given"] = "all"

    @property
    def trains(self) -> bool:
        """Whether there is anything to train."""
        return self.adapter != "none" or self.head != "native"


ARMS: dict[str, Arm] = {
    "frozen": Arm("the backbone as it is", "native"),
    "linear_probing": Arm("flat linear head on the frozen encoder", "linear"),
    "head": Arm("reconstructed head on the frozen encoder", "configured"),
    "lora_native": Arm("LoRA on all sites under the backbone's own head", "native", "lora"),
    "lora_all": Arm("LoRA on all sites", "configured", "lora"),
    "lora_qv": Arm("LoRA on the query and value projections", "configured", "lora", "qv"),
    "random_k": Arm("LoRA on K random sites", "configured", "lora", "random"),
    "magnitude_k": Arm("LoRA on the K largest adapters", "configured", "lora", "magnitude"),
    "adalora": Arm("AdaLoRA on all sites", "configured", "adalora"),
    "full": Arm("the whole encoder", "configured", "full"),
    "trace": Arm("LoRA on the K most important sites", "configured", "lora", "importance"),
    "tuned_mask": Arm("LoRA on the sites that tuning chose", "configured", "lora", "given"),
}


@dataclass(frozen=True)
class ArmRun:
    """What one row has come to with one seed.

    Attributes:
        arm: Name of the row in ``ARMS``.
        seed: Seed of adapters, order of windows, masks and random choices.
        model: The forecaster, merged and in inference mode.
        history: The loss curve, a line ``step, training, selection, best`` for each look; step 0 is
            the start.
        importance: Table ``round, step, site, layer, kind, score, standard_error, open`` of every
            round; empty for rows that choose nothing, without scores where none are taken.
        kept: Whether training has changed the model; else it is the start, without adapters.
        parameters: Weights that were trained and kept, of head and open sites; what the row was
            given, even where its training was undone.
        head_parameters: Those of the head alone.
        open_sites: Names of the sites with adapters.
        nbytes: Bytes of these weights as they are saved.
        seconds: What the closed-form start and training took.
        scoring_seconds: What of it scoring took.
    """

    arm: str
    seed: int
    model: TraceModel
    history: list[dict[str, Any]]
    importance: pd.DataFrame
    kept: bool
    parameters: int
    head_parameters: int
    open_sites: tuple[str, ...]
    nbytes: int
    seconds: float
    scoring_seconds: float = 0.0


def run_arms(bench: Bench, names: Sequence[str], seeds: Sequence[int]) -> list[ArmRun]:
    """Make rows with every seed, in the order given.

    The frozen backbone, in which nothing is random, comes once, with the first seed.

    Args:
        bench: What rows share.
        names: Names of rows in ``ARMS``.
        seeds: Seeds.

    Returns:
        A run for each row and seed.
    """
    return [
        run_arm(bench, name, seed)
        for name in names
        for seed in (seeds if _arm(name).trains else seeds[:1])
    ]


def run_arm(bench: Bench, name: str, seed: int, *, sites: Sequence[str] | None = None) -> ArmRun:
    """Make one row with one seed. The caller's random generators stay where they were.

    Args:
        bench: What rows share.
        name: Name of the row in ``ARMS``.
        seed: Seed.
        sites: Names of the sites of ``tuned_mask``, in any order; with none of them the head alone
            learns. Their rank is ``lora.rank``: a mask was chosen for its size as well, so that
            the rank of closed sites is not given to open ones.

    Returns:
        The row's model and what was found on the way.

    Raises:
        TraceError: An unknown row, one that does not fit the backbone, or sites that are missing,
            unknown or given for another row.
    """
    arm = _arm(name)
    head = _head(arm, bench.config.head)
    began = time.perf_counter()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = bench.model(head)
        rng = np.random.default_rng(seed)
        adapter = _adapter(arm, model, bench, head, rng, _given(name, arm, sites))
        course = _train(bench, model, adapter, head, rng, f"{name}, seed {seed}")
    parameters, opened = adapter.parameter_count(), adapter.open_names
    of_head = trainable_parameter_count(model.head)
    if course.step:
        adapter.finish()
        model.encoder_trained = arm.adapter in ("adalora", "full")
        model.requires_grad_(False)
    else:
        model = bench.model(head).requires_grad_(False)
    rounds = adapter.rounds if isinstance(adapter, LoraAdapter) else None
    solved = 0.0 if head.kind == "native" else bench.start(head).seconds
    return ArmRun(
        arm=name,
        seed=seed,
        model=model,
        history=course.history,
        importance=pd.DataFrame(rounds.lines if rounds else [], columns=list(IMPORTANCE)),
        kept=course.step > 0,
        parameters=of_head + parameters,
        head_parameters=of_head,
        open_sites=opened,
        nbytes=_BYTES * (of_head + parameters),
        seconds=time.perf_counter() - began + solved,
        scoring_seconds=rounds.seconds if rounds else 0.0,
    )


def _arm(name: str) -> Arm:
    if name not in ARMS:
        raise TraceError(f"there is no row {name!r}; known: {', '.join(ARMS)}")
    return ARMS[name]


def _given(name: str, arm: Arm, sites: Sequence[str] | None) -> tuple[str, ...]:
    """Names of given sites, for the row that takes them."""
    if (arm.sites == "given") != (sites is not None):
        raise TraceError(
            f"the row {name!r} needs the sites that tuning chose: run the pipeline tuning first"
            if sites is None
            else f"the row {name!r} chooses its sites by itself; leave out the given ones"
        )
    return tuple(sites or ())


def _head(arm: Arm, configured: HeadConfig) -> HeadConfig:
    if arm.head == "configured":
        return configured
    return replace(configured, kind=arm.head, skip=False)


def _train(
    bench: Bench,
    model: TraceModel,
    adapter: Adapter,
    head: HeadConfig,
    rng: np.random.Generator,
    label: str,
) -> Course:
    """Train what there is to train."""
    train, selection = (
        bench.examples(windows, head) for windows in (bench.windows.train, bench.windows.selection)
    )
    config = bench.config.training
    nothing = not adapter.groups(config) and not trainable_parameter_count(model.head)
    config = replace(config, steps=0) if nothing else config
    return fine_tune(model, adapter, train, selection, config, rng=rng, label=label)


def _adapter(
    arm: Arm,
    model: TraceModel,
    bench: Bench,
    head: HeadConfig,
    rng: np.random.Generator,
    given: tuple[str, ...],
) -> Adapter:
    """Put into a model what a row trains beside the head."""
    config, net = bench.config, model.encoder.model
    if arm.adapter == "none":
        return Adapter()
    if arm.adapter == "full":
        return WholeEncoder(net, native=head.kind == "native")
    sites = lora_sites(net)
    if arm.adapter == "adalora":
        return AdaLora(net, sites, config.lora, config.selection, config.training.steps)
    rank: int | dict[str, int] = config.lora.rank
    if arm.sites == "given":
        named = {site.name for site in sites_named(sites, given)}
        if not named:
            return Adapter()
        sites = tuple(site for site in sites if site.name in named)
    if arm.sites == "qv":
        sites, rank = _query_and_value(sites, config.lora.rank, config.selection.redistribute)
    model.lora = GatedLora.attach(
        net, sites, rank=rank, alpha=config.lora.alpha_ratio, seed=int(rng.integers(2**31))
    )
    if arm.sites == "all" or arm.sites == "qv" or arm.sites == "given":
        return LoraAdapter(model.lora)
    scoring = bench.examples(bench.windows.scoring, head)
    return LoraAdapter(model.lora, Rounds(model, scoring, arm.sites, config, rng))


def _query_and_value(
    sites: Sequence[Site], rank: int, redistribute: bool
) -> tuple[tuple[Site, ...], int | dict[str, int]]:
    """The two kinds of sites that LoRA is usually put on, with the budget of all sites."""
    names = by_kind(sites, ("q", "v"))
    chosen = tuple(site for site in sites if site.name in names)
    budget = sum(site.parameters(rank) + 1 for site in sites)
    return chosen, redistribute_rank(chosen, budget, rank=rank) if redistribute else rank
