from itertools import pairwise

import numpy as np
import pytest
import torch
from adapted import adapted, small_bolt
from hypothesis import given
from hypothesis import strategies as st

from tsmemory.trace.dsic import SiteScores
from tsmemory.trace.errors import TraceError
from tsmemory.trace.gates import GatedLora
from tsmemory.trace.selection import (
    by_kind,
    keep_schedule,
    magnitude_k,
    random_k,
    redistribute_rank,
    select,
)
from tsmemory.trace.sites import Site, lora_sites


def scores_of(*values):
    names = tuple("abcdefgh"[: len(values)])
    found = np.array(values, dtype=np.float64)
    return SiteScores(names, found, np.zeros_like(found), passes=1, seconds=0.0)


def test_the_schedule_is_cubic():
    assert keep_schedule(4, 64, 0.25) == (37, 22, 17, 16)
    assert keep_schedule(1, 24, 0.5) == (12,)
    assert keep_schedule(3, 24, 1.0) == (24, 24, 24)


@given(rounds=st.integers(1, 12), sites=st.integers(1, 200), share=st.floats(0.001, 1.0))
def test_the_schedule_never_rises_and_ends_at_the_kept_share(rounds, sites, share):
    schedule = keep_schedule(rounds, sites, share)

    assert len(schedule) == rounds
    assert schedule[-1] == max(1, round(share * sites))
    assert sites >= schedule[0]
    assert all(after <= before for before, after in pairwise(schedule))
    falls = -np.diff([sites, *schedule])
    assert falls[0] >= falls[-1] - 1


@pytest.mark.parametrize(("rounds", "share"), [(0, 0.5), (3, 0.0), (3, 1.5)])
def test_an_impossible_schedule_is_refused(rounds, share):
    with pytest.raises(TraceError, match="kept share in"):
        keep_schedule(rounds, 24, share)


def test_the_highest_scores_are_kept_in_the_order_of_the_sites():
    assert select(scores_of(0.1, 5.0, -7.0, 2.0, 2.0), 2) == ("b", "d")
    assert select(scores_of(0.0, 0.0, 0.0), 2) == ("a", "b")
    assert select(scores_of(-1.0, -2.0), 2) == ("a", "b")


@pytest.mark.parametrize("keep", [0, 4])
def test_more_than_there_is_cannot_be_kept(keep):
    with pytest.raises(TraceError, match=f"{keep} of 3 sites"):
        select(scores_of(1.0, 2.0, 3.0), keep)


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(TraceError, match="not finite"):
        select(scores_of(1.0, np.nan), 1)


def test_random_sites_are_all_equally_likely():
    rng, names = np.random.default_rng(0), tuple("abcdef")

    drawn = [random_k(names, 2, rng) for _ in range(3000)]

    assert all(len(set(each)) == 2 and list(each) == sorted(each) for each in drawn)
    share = [sum(name in each for each in drawn) / len(drawn) for name in names]
    np.testing.assert_allclose(share, 1 / 3, atol=0.04)


def test_magnitude_is_the_norm_of_the_gated_update():
    gated = adapted(small_bolt(layers=2), alpha=0.5)
    with torch.no_grad():
        gated.gates.copy_(torch.linspace(-2, 2, len(gated.sites)))
    gated.close(gated.names[:2])
    norms = {}
    for number, name in enumerate(gated.names):
        first, second = gated.pair(name)
        update = gated.gates[number] * 0.5 * second @ first
        norms[name] = float(torch.linalg.norm(update.detach()))

    for keep in (1, 5, 9):
        due = sorted(norms, key=norms.__getitem__, reverse=True)[:keep]
        assert set(magnitude_k(gated, keep)) == set(due)


def test_sites_of_some_kinds():
    sites = lora_sites(small_bolt(layers=2))

    chosen = by_kind(sites, ("v", "q"))

    assert [name.rpartition(".")[2] for name in chosen] == ["q", "v", "q", "v"]
    with pytest.raises(TraceError, match=r"kind wi_0; there are k, o, q, v, wi, wo"):
        by_kind(sites, ["q", "wi_0"])


@given(
    widths=st.lists(st.tuples(st.integers(4, 40), st.integers(4, 40)), min_size=1, max_size=8),
    spare=st.integers(0, 2000),
    rank=st.integers(1, 4),
)
def test_freed_rank_goes_to_the_kept_sites_and_stays_within_the_budget(widths, spare, rank):
    sites = [Site(str(n), 0, "q", *width) for n, width in enumerate(widths)]
    budget = sum(site.parameters(rank) + 1 for site in sites) + spare

    ranks = redistribute_rank(sites, budget, rank=rank)

    spent = sum(site.parameters(ranks[site.name]) + 1 for site in sites)
    assert spent <= budget
    growable = [
        site for site in sites if ranks[site.name] < min(site.in_features, site.out_features)
    ]
    assert all(spent + site.parameters(1) > budget for site in growable)
    assert all(rank <= ranks[site.name] for site in sites)


def test_half_the_sites_get_twice_the_rank():
    model = small_bolt(layers=2)
    sites = lora_sites(model)
    gated = GatedLora.attach(model, sites, rank=2, seed=0)
    kept = [site for site in sites if site.layer == 0]

    budget = gated.parameter_count()

    ranks = redistribute_rank(kept, budget, rank=2)
    gated.keep_only(ranks)
    gated.grow(ranks, seed=0)

    assert set(ranks.values()) == {4}
    # The closed sites' gates are too few to buy another rank.
    assert gated.parameter_count() == budget - 6


def test_a_budget_below_the_least_rank_is_refused():
    sites = [Site("a", 0, "q", 10, 10)]

    with pytest.raises(TraceError, match=r"40 parameters do not suffice .* 41 are needed"):
        redistribute_rank(sites, 40, rank=2)
