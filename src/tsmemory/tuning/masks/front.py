"""Pareto fronts of masks, and how much of the plane they dominate."""

import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from tsmemory.tuning.masks.problem import Mask, MaskProblem, bits_of
from tsmemory.tuning.plan import SamplerKind, StudyPlan

OBJECTIVES = ("loss", "parameters")


class Point(NamedTuple):
    """A mask with both of its objectives.

    Attributes:
        mask: Which sites are open.
        loss: Loss on the earlier part of validation.
        parameters: LoRA weights.
    """

    mask: Mask
    loss: float
    parameters: int


def points_of(problem: MaskProblem, trials: Iterable[FrozenTrial]) -> list[Point]:
    """The complete trials of a study, in order."""
    return [
        Point(problem.mask_of(trial.params), float(trial.values[0]), int(trial.values[1]))
        for trial in trials
        if trial.state == TrialState.COMPLETE
    ]


def pareto_front(points: Iterable[Point]) -> list[Point]:
    """Points that no other beats in one objective without losing in the other.

    Args:
        points: In any order; of equal ones the first stays.

    Returns:
        Parameters ascend, losses descend.
    """
    front: list[Point] = []
    for point in sorted(points, key=lambda each: (each.parameters, each.loss)):
        if not front or point.loss < front[-1].loss:
            front.append(point)
    return front


def hypervolume(points: Iterable[Point], reference: tuple[float, float]) -> float:
    """Area that points dominate, up to a reference.

    Args:
        points: In any order; those beyond the reference add nothing.
        reference: Loss and parameters up to which the area is counted.

    Returns:
        The area, in loss times parameters.
    """
    area, loss = 0.0, reference[0]
    for point in pareto_front(points):
        if point.loss < loss and point.parameters < reference[1]:
            area += (loss - point.loss) * (reference[1] - point.parameters)
            loss = point.loss
    return area


def reference_of(problem: MaskProblem) -> tuple[float, float]:
    """Reference of a study's hypervolumes: the worst of the masks that it begins with."""
    scores = [problem.score(mask) for mask in problem.seeds().values()]
    return max(loss for loss, _ in scores), float(max(size for _, size in scores))


def thin_front(front: Sequence[Point], count: int, reference: tuple[float, float]) -> list[Point]:
    """A handful of points that dominate nearly as much as the whole front.

    The point with the lowest loss comes first, then greedily the one that adds most area.

    Args:
        front: Points of a front.
        count: How many at most.
        reference: Of the area.

    Returns:
        The points; parameters ascend.
    """
    left = sorted(front, key=lambda point: point.loss)
    chosen, left = left[:1], left[1:]
    while left and len(chosen) < count:
        best = max(left, key=lambda point: hypervolume([*chosen, point], reference))
        chosen.append(best)
        left.remove(best)
    return sorted(chosen, key=lambda point: point.parameters)


def search(problem: MaskProblem, sampler: SamplerKind, trials: int, seed: int) -> list[Point]:
    """Search masks in memory, as a study on disk with one worker would.

    Args:
        problem: What is searched.
        sampler: How masks are proposed, after those of :meth:`MaskProblem.seeds`.
        trials: Number of trials, seeds included.
        seed: Of the proposals.

    Returns:
        The trials.
    """
    plan = StudyPlan("masks", "", trials, sampler=sampler, objectives=len(OBJECTIVES), seed=seed)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(directions=["minimize"] * plan.objectives)
    for params in problem.settings().values():
        study.enqueue_trial(params)
    for number in range(trials):
        study.sampler = plan.proposer(number)
        trial = study.ask()
        study.tell(trial, list(problem.objective(trial)))
    return points_of(problem, study.get_trials(deepcopy=False))


def compare_samplers(problem: MaskProblem, *, trials: int, seeds: Sequence[int]) -> pd.DataFrame:
    """Set NSGA-II against random search with the same number of trials.

    Both begin with the same seeded masks, so that the difference is what the search adds.

    Args:
        problem: What is searched.
        trials: Trials of each search.
        seeds: Seeds of the proposals.

    Returns:
        Table ``sampler, seed, trials, distinct, hypervolume, lowest_loss, seconds``; the
        hypervolume is a share of that of the box from the lowest loss of all searches to the
        reference. A mask that an earlier search has tried costs no time.
    """
    found, reference = list[tuple[SamplerKind, int, list[Point], float]](), reference_of(problem)
    samplers: tuple[SamplerKind, ...] = ("nsgaii", "random")
    for seed in seeds:
        for sampler in samplers:
            began = time.perf_counter()
            points = search(problem, sampler, trials, seed)
            found.append((sampler, seed, points, time.perf_counter() - began))
    lowest = min(point.loss for _, _, points, _ in found for point in points)
    box = (reference[0] - lowest) * reference[1]
    return pd.DataFrame(
        {
            "sampler": sampler,
            "seed": seed,
            "trials": len(points),
            "distinct": len({point.mask for point in points}),
            "hypervolume": hypervolume(points, reference) / box if box > 0 else 0.0,
            "lowest_loss": min(point.loss for point in points),
            "seconds": seconds,
        }
        for sampler, seed, points, seconds in found
    )


def tabulate_masks(problem: MaskProblem, points: Sequence[Point]) -> pd.DataFrame:
    """One line for each trial.

    Args:
        problem: What is searched.
        points: The trials in order.

    Returns:
        Table ``number, mask, sites, parameters, loss, front, bits``: ``mask`` names those that the
        search begins with; ``bits`` is a string of 0 and 1 in the order of the sites.
    """
    front = {point.mask for point in pareto_front(points)}
    lines = [
        {
            "number": number,
            "mask": problem.title(point.mask),
            "sites": sum(point.mask),
            "parameters": point.parameters,
            "loss": point.loss,
            "front": point.mask in front,
            "bits": bits_of(point.mask),
        }
        for number, point in enumerate(points)
    ]
    columns = ["number", "mask", "sites", "parameters", "loss", "front", "bits"]
    return pd.DataFrame(lines, columns=columns)
