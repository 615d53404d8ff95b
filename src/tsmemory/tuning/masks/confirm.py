"""Points of the front are trained anew and judged on the part of validation no trial has seen."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tsmemory.progress import track
from tsmemory.trace.arms import ArmRun, run_arm
from tsmemory.trace.errors import TraceError
from tsmemory.tuning.masks.later import Verdict, improvement, judge
from tsmemory.tuning.masks.problem import Mask, MaskProblem, bits_of

COLUMNS = (
    *("mask", "sites", "parameters", "supernet_loss", "retrained_loss", "loss", "gain"),
    *("p_value", "kept", "chosen", "bits"),
)
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Retrained:
    """A mask that was trained by itself.

    Attributes:
        mask: Which sites are open.
        runs: One for each seed.
        retrained_loss: Mean loss on the earlier part of validation, which stopped the training.
        verdict: What the later part says.
    """

    mask: Mask
    runs: tuple[ArmRun, ...]
    retrained_loss: float
    verdict: Verdict


def retrain(problem: MaskProblem, mask: Mask) -> Retrained:
    """Train a mask by itself, as TRACE's row ``tuned_mask`` would, and judge it.

    Training that does not help on the earlier part of validation is undone.

    Args:
        problem: The problem; its supernet is not used.
        mask: Which sites are open.

    Returns:
        Losses on both parts, means over the seeds.
    """
    sites, bench = problem.open_names(mask), problem.bench
    runs = tuple(run_arm(bench, "tuned_mask", seed, sites=sites) for seed in problem.config.seeds)
    best = [[line["selection"] for line in run.history if line["best"]][-1] for run in runs]
    verdict = judge(problem.later, [run.model for run in runs])
    return Retrained(mask, runs, float(np.mean(best)), verdict)


def confirm(problem: MaskProblem, front: Sequence[Mask]) -> pd.DataFrame:
    """Train points of a front anew and choose one of them.

    Chosen is the mask with the fewest parameters from which the best one, judged on the later part
    of validation, is not told apart by :func:`improvement`. No LoRA at all is among them, and is
    what is left where LoRA does not help beyond chance.

    Args:
        problem: The problem.
        front: A handful of masks.

    Returns:
        Table ``mask, sites, parameters, supernet_loss, retrained_loss, loss, gain, p_value, kept,
        chosen, bits``, parameters ascending: losses of the supernet and of the mask trained anew on
        the earlier part, and ``loss`` on the later part; ``gain`` is what that is below the loss
        without LoRA, as a share; ``p_value`` is that of the best being no better; ``kept`` counts
        the seeds whose training was not undone.
    """
    masks = {problem.mask([]), *front}
    ordered = sorted(masks, key=lambda mask: (problem.parameters(mask), mask))
    made = [retrain(problem, mask) for mask in track(ordered, "Masks trained anew")]
    best = min(made, key=lambda each: each.verdict.loss)
    plain = next(each for each in made if not any(each.mask)).verdict.loss
    lines: list[dict[str, Any]] = []
    for each in made:
        loss = each.verdict.loss
        p_value = improvement(problem.later, best.verdict, each.verdict, problem.seed)
        tied = each is best or p_value > problem.config.level
        lines.append(
            {
                "mask": problem.title(each.mask),
                "sites": sum(each.mask),
                "parameters": problem.parameters(each.mask),
                "supernet_loss": problem.score(each.mask)[0],
                "retrained_loss": each.retrained_loss,
                "loss": loss,
                "gain": 1 - loss / plain if plain > 0 else math.nan,
                "p_value": p_value,
                "kept": sum(run.kept for run in each.runs),
                "chosen": tied and not any(line["chosen"] for line in lines),
                "bits": bits_of(each.mask),
            }
        )
    table = pd.DataFrame(lines, columns=list(COLUMNS))
    _say(table)
    return table


def chosen_sites(problem: MaskProblem, confirmed: pd.DataFrame) -> list[str]:
    """Names of the sites of the chosen mask, as TRACE's row ``tuned_mask`` takes them.

    Raises:
        TraceError: A table of other sites.
    """
    bits = str(confirmed.loc[confirmed["chosen"], "bits"].iloc[0])
    if len(bits) != len(problem.names):
        raise TraceError(
            f"the chosen mask has {len(bits)} sites and the backbone {len(problem.names)}: run "
            "the pipeline tuning again"
        )
    return problem.open_names(tuple(bit == "1" for bit in bits))


def overrides(problem: MaskProblem, sites: Sequence[str]) -> dict[str, Any]:
    """What TRACE is to be run with, by the parameters' paths: sites, and the rates they liked.

    A mask is worth what it was confirmed to be at the rates that it was confirmed with.

    Args:
        problem: The problem.
        sites: Names of the chosen sites.
    """
    training = problem.bench.config.training
    rates = {name: getattr(training, name) for name in ("lora_rate", "gate_rate")}
    return {"trace": {"sites": list(sites), "training": rates}}


def _say(table: pd.DataFrame) -> None:
    """Log what came out."""
    chosen = table[table["chosen"]].iloc[0]
    if not chosen["sites"]:
        logger.warning(
            "Masks: no mask was better than no LoRA at all beyond chance on the later part of "
            "validation, so none is used"
        )
        return
    logger.info(
        "Masks: %d sites with %d weights are used; loss %.2f %% below that without LoRA",
        chosen["sites"],
        chosen["parameters"],
        100 * chosen["gain"],
    )
