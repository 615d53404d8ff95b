"""Which sites stay open: the keep schedule, the choice by score, and the controls."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from tsmemory.trace.dsic import SiteScores
from tsmemory.trace.errors import TraceError
from tsmemory.trace.gates import GatedLora
from tsmemory.trace.sites import Site


def keep_schedule(rounds: int, sites: int, kept_share: float) -> tuple[int, ...]:
    """How many sites stay open after each round, falling fast at first and slowly at the end.

    After round ``t`` of ``T`` it is ``K + (n - K) (1 - t/T)^3`` (Zhu & Gupta, 2017), rounded up,
    with ``K = kept_share * n`` rounded, at least 1.

    Args:
        rounds: Number of rounds ``T``.
        sites: Number of sites ``n``.
        kept_share: Share of them that is open in the end, in (0, 1].

    Returns:
        Open sites after each round; the last is ``K``.

    Raises:
        TraceError: No round, no site, or a share out of range.
    """
    if rounds < 1 or sites < 1 or not 0 < kept_share <= 1:
        raise TraceError(
            f"a schedule needs rounds and sites and a kept share in (0, 1]: got {rounds} rounds, "
            f"{sites} sites, a share of {kept_share}"
        )
    kept = max(1, round(kept_share * sites))
    left = (1 - np.arange(1, rounds + 1) / rounds) ** 3
    return tuple(int(number) for number in np.ceil(kept + (sites - kept) * left))


def select(scores: SiteScores, keep: int) -> tuple[str, ...]:
    """Names of the sites with the highest scores, in the order of the sites; the first of equals.

    Raises:
        TraceError: Fewer sites than are to be kept, or scores that are not finite.
    """
    return _highest(scores.names, scores.score, keep)


def magnitude_k(gated: GatedLora, keep: int) -> tuple[str, ...]:
    """Control: the sites whose update ``g alpha/r B A`` has the largest Frobenius norm.

    Raises:
        TraceError: Fewer sites than are to be kept.
    """
    norms = []
    for name in gated.names:
        first, second = (weight.detach().double() for weight in gated.pair(name))
        # |B A|^2 is the inner product of the two Gram matrices, which are r x r.
        square = ((second.T @ second) * (first @ first.T)).sum().clamp(min=0)
        norms.append(abs(gated.gate(name) * gated.alpha) * float(square.sqrt()))
    return _highest(gated.names, np.array(norms), keep)


def random_k(names: Sequence[str], keep: int, rng: np.random.Generator) -> tuple[str, ...]:
    """Control: sites drawn at random, in the order of the sites.

    Raises:
        TraceError: Fewer sites than are to be kept.
    """
    return _highest(names, rng.random(len(names)), keep)


def by_kind(sites: Iterable[Site], kinds: Iterable[str]) -> tuple[str, ...]:
    """Control: the sites of some kinds, such as ``q`` and ``v``, in the order of the sites.

    Raises:
        TraceError: A kind that none of the sites is of.
    """
    known, wanted = tuple(sites), set(kinds)
    there = {site.kind for site in known}
    if strange := sorted(wanted - there):
        raise TraceError(
            f"no site is of kind {', '.join(strange)}; there are {', '.join(sorted(there))}"
        )
    return tuple(site.name for site in known if site.kind in wanted)


def redistribute_rank(sites: Sequence[Site], budget: int, *, rank: int = 1) -> dict[str, int]:
    """Spend a budget of parameters on the sites that stay, one rank at a time.

    Every site gets ``rank``; then one more each time round, as long as the budget lasts and no
    rank exceeds the layer's own. What is left over at the end is less than any site's next rank.

    Args:
        sites: The kept sites; where the budget ends within a round, the first are served.
        budget: Weights of matrices and gates together, as :meth:`GatedLora.parameter_count` has it.
        rank: Rank of every site at least.

    Returns:
        Rank by site.

    Raises:
        TraceError: A budget that is too small for ``rank`` everywhere.
    """
    ranks = {site.name: rank for site in sites}
    left = budget - sum(site.parameters(rank) + 1 for site in sites)
    if left < 0:
        raise TraceError(
            f"{budget} parameters do not suffice for rank {rank} on {len(sites)} sites: "
            f"{budget - left} are needed"
        )
    growing = list(sites)
    while growing:
        growing = [site for site in growing if _can_grow(site, ranks[site.name], left)]
        for site in growing:
            if site.parameters(1) <= left:
                ranks[site.name] += 1
                left -= site.parameters(1)
    return ranks


def _can_grow(site: Site, rank: int, left: int) -> bool:
    return site.parameters(1) <= left and rank < min(site.in_features, site.out_features)


def _highest(names: Sequence[str], values: npt.NDArray[np.float64], keep: int) -> tuple[str, ...]:
    if not 1 <= keep <= len(names):
        raise TraceError(f"{keep} of {len(names)} sites cannot be kept")
    if not np.isfinite(values).all():
        raise TraceError(
            "some importance scores are not finite: the loss overflows on the scoring windows; "
            "lower the learning rates"
        )
    order = np.argsort(-values, kind="stable")[:keep]
    return tuple(names[number] for number in sorted(order))
