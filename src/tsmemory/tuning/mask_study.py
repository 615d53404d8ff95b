"""The masks study from its first trial to what is taken: structured settings, then the mask."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tsmemory.fingerprint import code_digest, digest
from tsmemory.scaleout.shards import ShardCache, map_shards
from tsmemory.trace.bench import Bench
from tsmemory.tuning.config import MasksConfig
from tsmemory.tuning.masks.confirm import COLUMNS, chosen_sites, confirm, overrides
from tsmemory.tuning.masks.front import (
    compare_samplers,
    pareto_front,
    points_of,
    reference_of,
    tabulate_masks,
    thin_front,
)
from tsmemory.tuning.masks.problem import MaskProblem
from tsmemory.tuning.masks.structured import StructuredProblem, StructuredSettings, with_settings
from tsmemory.tuning.plan import StudyPlan
from tsmemory.tuning.study import finished
from tsmemory.tuning.workers import run_study

MASK_COLUMNS = ("number", "mask", "sites", "parameters", "loss", "front", "bits")
SAMPLER_COLUMNS = (
    *("sampler", "seed", "trials", "distinct", "hypervolume", "lowest_loss", "seconds"),
)
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MaskStudy:
    """What the masks study has found.

    Attributes:
        taken: The mask that is taken, why, and the study that it comes from.
        trials: Table ``number, mask, sites, parameters, loss, front, bits``.
        confirmed: Points of the front, trained anew and judged on validation that no trial saw.
        samplers: NSGA-II beside random search with as many trials.
    """

    taken: Mapping[str, Any]
    trials: pd.DataFrame
    confirmed: pd.DataFrame
    samplers: pd.DataFrame

    @classmethod
    def none(cls, reason: str) -> "MaskStudy":
        """Where there is no study.

        Args:
            reason: Why.
        """
        taken = {"study": None, "study_name": None, "says": reason, "taken": False}
        tables = (pd.DataFrame(columns=list(c)) for c in (MASK_COLUMNS, COLUMNS, SAMPLER_COLUMNS))
        return cls({**taken, "overrides": {}, "sites": [], "trials": 0}, *tables)


def tune_masks(
    bench: Bench, config: MasksConfig, journal: Path, workspace: ShardCache, *, seed: int
) -> MaskStudy:
    """Search structured settings if asked for, then masks; train the best anew and take one.

    Args:
        bench: What TRACE is made on.
        config: Trials and workers.
        journal: Where the studies are kept.
        workspace: Where the supernet is kept until all is done.
        seed: Of the supernet and of the proposals.

    Returns:
        The study.
    """
    structured = _tune_structure(bench, config, journal, seed)
    if structured is not None:
        bench = with_settings(bench, structured)
    problem = _prepared(MaskProblem(bench, config.study, seed), workspace)
    plan = StudyPlan(
        "masks",
        digest([problem.fingerprint(), seed, code_digest()]),
        config.trials,
        sampler="nsgaii",
        objectives=2,
        seed=seed,
        timeout_minutes=config.timeout_minutes,
        settings=problem.settings(),
    )
    study = run_study(journal, plan, problem.objective, workers=config.workers)
    points = points_of(problem, finished(study))
    front = thin_front(pareto_front(points), config.study.confirmed, reference_of(problem))
    confirmed = confirm(problem, [point.mask for point in front])
    sites = chosen_sites(problem, confirmed)
    taken = {
        "study": plan.fingerprint,
        "study_name": plan.study_name,
        "says": _says(confirmed, len(points)),
        "taken": bool(sites) or structured is not None,
        "overrides": {"trace": _joined(structured, overrides(problem, sites)["trace"])},
        "sites": sites,
        "trials": len(points),
    }
    samplers = _compared(problem, config, seed)
    return MaskStudy(taken, tabulate_masks(problem, points), confirmed, samplers)


def _tune_structure(
    bench: Bench, config: MasksConfig, journal: Path, seed: int
) -> StructuredSettings | None:
    """The best structured settings, if the later part of validation shows them better."""
    if not config.structured_trials:
        return None
    problem = StructuredProblem(bench, config.study, seed)
    plan = StudyPlan(
        "structure",
        digest([problem.fingerprint(), seed, code_digest()]),
        config.structured_trials,
        seed=seed,
        timeout_minutes=config.timeout_minutes,
        settings={"default": problem.default},
    )
    study = run_study(journal, plan, problem.objective, workers=config.workers)
    best = problem.settings_of(study.best_trial.params)
    lines = problem.confirm(best).to_dict("records")
    (tuned,) = (line for line in lines if line["settings"] == "tuned")
    taken = bool(tuned["chosen"])
    logger.info(
        "Structure of TRACE: the best of %d trials is %s (gain %.2f %%, p = %.2f)",
        len(finished(study)),
        "taken" if taken else "not taken",
        100 * tuned["gain"],
        tuned["p_value"],
    )
    return best if taken else None


def _prepared(problem: MaskProblem, workspace: ShardCache) -> MaskProblem:
    """The problem with its supernet, which a killed run may have left."""
    (state,) = map_shards(
        lambda _: problem.prepare(),
        ["supernet"],
        cache=workspace.part("supernet").open(problem.fingerprint()),
        description="Supernet",
    )
    problem.prepare(state)
    return problem


def _compared(problem: MaskProblem, config: MasksConfig, seed: int) -> pd.DataFrame:
    """NSGA-II beside random search, in memory: masks that were tried before cost nothing."""
    seeds = [seed + number for number in range(config.random_seeds)]
    if not seeds:
        return pd.DataFrame(columns=list(SAMPLER_COLUMNS))
    return compare_samplers(problem, trials=config.trials, seeds=seeds)


def _joined(structured: StructuredSettings | None, mask: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters below ``trace`` of structured settings and of a mask."""
    found: dict[str, Any] = {} if structured is None else structured.overrides()["trace"]
    training = {**found.get("training", {}), **mask.get("training", {})}
    return {**found, **mask, "training": training}


def _says(confirmed: pd.DataFrame, trials: int) -> str:
    """What is taken, in words."""
    (line,) = confirmed[confirmed["chosen"]].to_dict("records")
    if not line["sites"]:
        return f"no LoRA at all after {trials} trials: no mask was better beyond chance"
    return (
        f"LoRA on {line['sites']} sites with {line['parameters']:,} weights after {trials} "
        f"trials: {100 * line['gain']:.2f} % below the loss without LoRA on unseen validation"
    )
