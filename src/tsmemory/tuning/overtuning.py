"""Over-tuning: what was gained on validation, beside what is left of it on test.

Whoever tries many settings finds one that suits validation's noise. So the default, the tuned
setting and the best of as many random ones are trained alike and scored once on the test split,
after everything was chosen.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsmemory.evaluation.leaderboard import Origins
from tsmemory.evaluation.scores import MethodScores
from tsmemory.metrics import skill_interval
from tsmemory.metrics.seed_interval import seed_interval

DEFAULT, TUNED, RANDOM = "default", "tuned", "random_search"
ALL_HORIZONS = "all"
COLUMNS = ("setting", "trials", "split", "horizon", "metric", "value", "gain", "low", "high")
Line = Mapping[Any, Any]
_SAME = 5e-5  # gains below it are none
_SMALL = 1e-3  # gains below it have more digits


@dataclass(frozen=True)
class Chosen:
    """A setting as its study left it.

    Attributes:
        name: ``default``, ``tuned`` or ``random_search``.
        trials: Trials that it is the best of; 0 where nothing was searched.
        loss: Its validation loss in the metric that was tuned.
        blocks: The same by block of validation, the same blocks for every setting.
    """

    name: str
    trials: int
    loss: float
    blocks: tuple[float, ...]


def tabulate_overtuning(
    chosen: Sequence[Chosen],
    scores: MethodScores,
    *,
    metric: str,
    samples: int,
    level: float,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Set what was gained on validation beside what is gained on test.

    Args:
        chosen: The settings, the default among them.
        scores: Test scores of each by its name, and of the frozen backbone.
        metric: ``crps``, ``mse`` or ``mae``: what was tuned.
        samples: Bootstrap samples.
        level: Probability of the intervals.
        rng: Draws the bootstrap.

    Returns:
        Table ``setting, trials, split, horizon, metric, value, gain, low, high``. Gains are over
        the default, above 0 where a setting is better. On validation they come with Student's
        interval over blocks, on test with a moving-block bootstrap over forecast origins; horizon
        ``all`` is the mean over horizons.
    """
    (default,) = (choice for choice in chosen if choice.name == DEFAULT)
    lines = []
    for choice in chosen:
        low, high = (
            _block_interval(choice, default, level) if choice.name != DEFAULT else (math.nan,) * 2
        )
        gain = 1 - choice.loss / default.loss
        lines.append(
            _line(choice, "validation", ALL_HORIZONS, metric, choice.loss, (gain, low, high))
        )
    origins = {
        horizon: Origins.draw(scores, number, samples, rng)
        for number, horizon in enumerate(scores.horizons)
    }
    for choice in chosen:
        values = [scores.methods[choice.name].metrics(o.number)[metric] for o in origins.values()]
        for horizon, origin, value in zip(scores.horizons, origins.values(), values, strict=True):
            skill = origin.skill(scores, choice.name, DEFAULT, metric, level)
            lines.append(_line(choice, "test", str(horizon), metric, value, skill))
        skill = _mean_skill(scores, origins[scores.horizons[-1]], choice.name, metric, level)
        lines.append(_line(choice, "test", ALL_HORIZONS, metric, float(np.mean(values)), skill))
    return pd.DataFrame(lines, columns=list(COLUMNS))


def describe_overtuning(
    table: pd.DataFrame, tuned: Mapping[str, Any], *, level: float
) -> list[str]:
    """Say in words what tuning is worth.

    Args:
        table: What :func:`tabulate_overtuning` returned.
        tuned: What is taken of the study: ``taken``, and ``reason`` in its ``choice``.
        level: Probability of the intervals.

    Returns:
        Sentences: the gain on validation, what is left on test, and what random search found.
    """
    lines = table[table["horizon"] == ALL_HORIZONS].to_dict("records")
    every = {(line["setting"], line["split"]): line for line in lines}
    found, test = every[TUNED, "validation"], every[TUNED, "test"]
    metric, trials = str(table["metric"].iloc[0]).upper(), int(found["trials"])
    if tuned["choice"]["best"] == 0:
        said = [f"None of {trials} trials beat the default on validation: nothing is tuned."]
    else:
        said = [
            f"The best of {trials} trials has a {metric} {_change(found)} than the default's on "
            f"validation{_ends(found, level)}; on test it is {_change(test)}{_ends(test, level)}.",
            _judged(test)
            if tuned["taken"]
            else f"It is not taken, the default stays: {tuned['choice']['reason']}.",
        ]
    if (RANDOM, "test") in every:
        found, test = every[RANDOM, "validation"], every[RANDOM, "test"]
        of = f"The best of {int(found['trials'])} random trials"
        nothing = abs(float(found["gain"])) < _SAME
        said.append(
            f"{of} is no better on validation either."
            if nothing
            else f"{of}: {_change(found)} on validation, {_change(test)} on test."
        )
    return said


def _judged(test: Line) -> str:
    """Whether tuning helped on test."""
    if test["gain"] < _SAME:
        return "Tuning does not help on test."
    if test["low"] > 0:
        return "Tuning helps on test."
    return "On test the gain is within noise: tuning is not shown to help."


def _change(line: Line) -> str:
    gain = float(line["gain"])
    digits = 1 if abs(gain) >= _SMALL else 2
    return f"{100 * abs(gain):.{digits}f} % {'higher' if gain <= -_SAME else 'lower'}"


def _ends(line: Line, level: float) -> str:
    low, high = float(line["low"]), float(line["high"])
    if math.isnan(low) or math.isnan(high):
        return ""
    return f" (gain {100 * low:+.1f} to {100 * high:+.1f} %, {100 * level:g} % interval)"


def _line(
    choice: Chosen,
    split: str,
    horizon: str,
    metric: str,
    value: float,
    gain: tuple[float, float, float],
) -> dict[str, object]:
    trials = choice.trials
    values = (choice.name, trials, split, horizon, metric, value, *gain)
    return dict(zip(COLUMNS, values, strict=True))


def _block_interval(choice: Chosen, default: Chosen, level: float) -> tuple[float, float]:
    """Student's interval of the gain over the default, from differences by block."""
    if len(choice.blocks) != len(default.blocks) or not choice.blocks:
        return math.nan, math.nan
    own, reference = np.array(choice.blocks), np.array(default.blocks)
    _, low, high = seed_interval(((reference - own) / reference.mean()).tolist(), level)
    return low, high


def _mean_skill(
    scores: MethodScores, origins: Origins, name: str, metric: str, level: float
) -> tuple[float, float, float]:
    """Skill over the default in the mean of a metric over horizons.

    Over the origins whose windows reach the longest horizon. The metrics' denominators are those of
    all origins, so that a resample moves the errors alone.
    """

    def summed(method: str) -> NDArray[np.float64]:
        parts = [
            replace(origins, number=number).sums(scores, method, metric)
            for number in range(len(scores.horizons))
        ]
        return np.asarray(np.sum([errors / size.sum() for errors, size in parts], axis=0))

    own, reference = summed(name), summed(DEFAULT)
    even = np.ones(len(own))
    return skill_interval(own, even, reference, even, origins.weights, level, blocks=origins.blocks)
