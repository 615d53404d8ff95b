"""The verdict of a report: two sentences, what to beware of, and the figures that matter most."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd

from tsmemory.evaluation.house_style import style_of
from tsmemory.evaluation.report.formats import (
    enumerate_in_words,
    number,
    percent,
    percent_interval,
    times,
)
from tsmemory.evaluation.report.memory_tables import fusion_blocks
from tsmemory.evaluation.report.parts import Tile
from tsmemory.evaluation.summary import choose_horizons, naive_warning

OURS, FROZEN = "tsmemory", "frozen"
METRIC = "crps"
_LEAST_SEEDS = 3
_COVERAGE = (0.7, 0.9)  # of an 80 % interval that may be relied on


class _Gain(NamedTuple):
    """Skill at one horizon, with its interval."""

    horizon: int
    skill: float
    low: float
    high: float


def headline(skill: pd.DataFrame, level: float, backbone: str) -> str:
    """What the memory gains over the frozen backbone, in one sentence.

    Args:
        skill: Table ``method, horizon, channel, metric, skill, low, high, …``.
        level: Probability of the intervals.
        backbone: The backbone's name.

    Returns:
        The sentence.
    """
    parts = []
    for gain in _shown_gains(skill):
        ends = percent_interval(gain.low, gain.high)
        said = f"from {ends}" if ends else "no interval"
        parts.append(f"{percent(gain.skill, signed=True)} at {gain.horizon} steps ({said})")
    return (
        f"On the test split, tsmemory's skill in CRPS against the frozen backbone ({backbone}) is "
        f"{enumerate_in_words(parts)}; these are {100 * level:g} % intervals."
    )


def guard_sentence(fusion: Mapping[str, Any]) -> str:
    """What the guard decided, and on what, in one sentence."""
    from tsmemory.memory.fusion import Fusion

    fusions = {seed: Fusion.from_json(value) for seed, value in fusion.items()}
    shipped, *others = fusions
    said = fusions[shipped].describe()
    alike = sum(fusions[seed].describe() == said for seed in others)
    blocks = fusion_blocks(fusion[shipped])
    judged_on = sorted({str(line["judged_on"] or "validation") for line in blocks}, key=len)
    sentence = f"By the guard's test on {judged_on[-1]}, {said}"
    if not others:
        return f"{sentence}."
    agreed = "all" if alike == len(others) else f"{alike} of {len(others)}"
    return f"{sentence} (seed {shipped}, which is shipped; {agreed} of the other seeds agree)."


def find_warnings(
    leaderboard: pd.DataFrame,
    skill: pd.DataFrame,
    fusion: Mapping[str, Any],
    contamination: str | None,
) -> list[str]:
    """What a reader has to know before trusting the tables.

    Args:
        leaderboard: Table ``method, horizon, metric, value, low, high, seeds``.
        skill: Table ``method, horizon, channel, metric, skill, low, high, …``.
        fusion: Fusions by seed.
        contamination: What :func:`tsmemory.backbones.card.backbone_card` says of it.

    Returns:
        Sentences, the gravest first.
    """
    gains = _gains(skill)
    worse = [gain.horizon for gain in gains if gain.high < 0]
    silent = [gain.horizon for gain in gains if math.isnan(gain.low)]
    found = [contamination, naive_warning(leaderboard)]
    if worse:
        found.append(f"tsmemory is worse than the frozen backbone at {_steps(worse)}.")
    found += [_beaten_by(leaderboard), _coverage(leaderboard)]
    if silent:
        found.append(
            f"The test split is too short for intervals at {_steps(silent)}: fewer than five "
            "independent blocks fit into it."
        )
    if len(fusion) < _LEAST_SEEDS:
        found.append(f"Only {len(fusion)} training seed(s): how much they differ is not known.")
    return [sentence for sentence in found if sentence]


def choose_tiles(
    leaderboard: pd.DataFrame, skill: pd.DataFrame, fusion: Mapping[str, Any], cost: pd.DataFrame
) -> list[Tile]:
    """Skill by horizon, guard, coverage and cost, each as one figure.

    Args:
        leaderboard: Table ``method, horizon, metric, value, low, high, seeds``.
        skill: Table ``method, horizon, channel, metric, skill, low, high, …``.
        fusion: Fusions by seed; the first is shipped.
        cost: Table ``method, horizon, batch, metric, value``.

    Returns:
        The tiles.
    """
    tiles = [
        Tile(
            f"CRPS skill, {gain.horizon} steps",
            percent(gain.skill, signed=True),
            percent_interval(gain.low, gain.high) or "no interval",
        )
        for gain in _shown_gains(skill)
    ]
    blocks = fusion_blocks(next(iter(fusion.values())))
    used = sum(bool(line["used"]) for line in blocks)
    tiles.append(Tile("fused in", f"{used} of {len(blocks)}", "horizon blocks"))
    covered = _pick(leaderboard, OURS, "coverage_80")["value"].dropna()
    if len(covered):
        ends = sorted({f"{100 * covered.min():.0f}", f"{100 * covered.max():.0f}"})
        tiles.append(Tile("80 % interval covers", f"{' to '.join(ends)} %", "of test targets"))
    ratios = cost[cost["metric"] == "latency_ratio"]
    if len(ratios):
        means = ratios.groupby("batch")["value"].mean()
        by_batch = list(zip([int(batch) for batch in means.index], means, strict=True))
        (first, ratio), *others = by_batch
        rest = ", ".join(f"{value:.2f} at batch {batch}" for batch, value in others)
        tiles.append(Tile(f"time of frozen, batch {first}", times(ratio), rest))
    return tiles


def _gains(skill: pd.DataFrame) -> list[_Gain]:
    """Our CRPS skill over all channels, by horizon."""
    chosen = (skill["method"] == OURS) & (skill["channel"] == "all") & (skill["metric"] == METRIC)
    lines = skill[chosen].sort_values("horizon")[["horizon", "skill", "low", "high"]]
    values = lines.astype(float).to_numpy().tolist()
    return [_Gain(int(horizon), *figures) for horizon, *figures in values]


def _shown_gains(skill: pd.DataFrame) -> list[_Gain]:
    """The same at four horizons at most."""
    gains = _gains(skill)
    chosen = choose_horizons([gain.horizon for gain in gains])
    return [gain for gain in gains if gain.horizon in chosen]


def _pick(leaderboard: pd.DataFrame, method: str, metric: str) -> pd.DataFrame:
    return leaderboard[(leaderboard["method"] == method) & (leaderboard["metric"] == metric)]


def _beaten_by(leaderboard: pd.DataFrame) -> str | None:
    """Say where another row has a lower CRPS than ours."""
    table = leaderboard[leaderboard["metric"] == METRIC].pivot_table(
        index="horizon", columns="method", values="value"
    )
    others = [str(name) for name in table if name not in (OURS, FROZEN)]
    if OURS not in table or not others:
        return None
    better = table[others].lt(table[OURS], axis=0)
    parts = [
        f"{style_of(name).label} at {_steps(table.index[better[name]].tolist())}"
        for name in others
        if better[name].any()
    ]
    return f"A lower CRPS than tsmemory's: {enumerate_in_words(parts)}." if parts else None


def _coverage(leaderboard: pd.DataFrame) -> str | None:
    """Say where the 80 % interval covers much less or more than it should."""
    lines = _pick(leaderboard, OURS, "coverage_80").dropna(subset="value")
    off = lines[~lines["value"].between(*_COVERAGE)]
    parts = [
        f"{percent(value)} at {horizon} steps"
        for horizon, value in zip(off["horizon"], off["value"], strict=True)
    ]
    return f"The 80 % interval covers {enumerate_in_words(parts)}." if parts else None


def _steps(horizons: list[Any]) -> str:
    return f"{enumerate_in_words([number(horizon) for horizon in horizons])} steps"
