from itertools import product

import numpy as np
import pytest
import torch
from adapted import adapted, forecast, small_bolt, some_contexts

from tsmemory.trace.config import MaskConfig
from tsmemory.trace.dsic import score_sites
from tsmemory.trace.errors import TraceError
from tsmemory.trace.gates import GatedLora
from tsmemory.trace.sites import lora_sites

ROWS = 96
HALF = MaskConfig("bernoulli", 0.5)


def scoring_batches(rows=ROWS, size=40):
    contexts, targets = some_contexts(rows, seed=1), some_contexts(rows, seed=2)[:, :8]
    return [
        (contexts[first : first + size], targets[first : first + size])
        for first in range(0, rows, size)
    ]


def loss_with(model):
    def loss_of_rows(batch):
        contexts, targets = batch
        scale = contexts.std(dim=1)
        median = forecast(model, contexts)[:, 4]
        return (median - targets).square().mean(dim=1) / scale**2

    return loss_of_rows


@pytest.fixture
def gated():
    found = adapted(small_bolt())
    with torch.no_grad():
        found.gates.copy_(torch.linspace(0.6, 1.4, len(found.sites)))
    return found


def scored(gated, batches=None, *, masks=HALF, seed=0, **options):
    return score_sites(
        gated,
        loss_with(gated.model),
        batches or scoring_batches(),
        masks=masks,
        generator=np.random.default_rng(seed),
        **options,
    )


def gradient_under(gated, mask):
    """Gradient of the mean loss by finite differences of the effective gates. Shape (n_sites,)."""
    loss_of_rows = loss_with(gated.model)
    batches = scoring_batches()

    def loss_at(gates):
        with torch.no_grad(), gated.masked(mask * gates / gated.gates):
            rows = torch.cat([loss_of_rows(batch) for batch in batches])
        return rows.double().mean().item()

    gates, step, found = gated.gates.detach().clone(), 1e-2, []
    for site in range(len(gates)):
        up, down = gates.clone(), gates.clone()
        up[site] += step
        down[site] -= step
        found.append((loss_at(up) - loss_at(down)) / (2 * step))
    return np.array(found)


def exact_scores(gated, score):
    """The estimated quantity itself: the mean over all masks, which fair coins draw equally."""
    found = []
    for mask in product([0.0, 1.0], repeat=len(gated.sites)):
        with gated.effective(gated.gates * torch.tensor(mask)) as gates:
            rows = torch.cat([loss_with(gated.model)(batch) for batch in scoring_batches()])
            found.append(torch.autograd.grad(rows.mean(), gates)[0].double().numpy())
    if score == "mean_abs":
        return np.abs(found).mean(axis=0)
    mean = np.mean(found, axis=0)
    return np.abs(mean) if score == "abs_mean" else -mean


def test_a_gradient_is_that_of_the_effective_gates(gated):
    mask = torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0, 1.0])
    contexts, targets = scoring_batches(size=ROWS)[0]
    with gated.effective(gated.gates * mask) as gates:
        loss = loss_with(gated.model)((contexts, targets)).mean()
        (found,) = torch.autograd.grad(loss, gates)
    with gated.masked(mask):
        masked = loss_with(gated.model)((contexts, targets)).mean()
        (product_rule,) = torch.autograd.grad(masked, gated.gates)

    assert masked.item() == pytest.approx(loss.item(), rel=1e-6)
    torch.testing.assert_close(found * mask, product_rule)
    assert found[1].abs() > 0
    assert found[4].abs() > 0


@pytest.mark.parametrize("estimator", ["serial", "per_row"])
@pytest.mark.parametrize("score", ["abs_mean", "mean_abs", "signed"])
def test_scores_are_zero_while_nothing_is_trained(estimator, score):
    model = small_bolt()
    gated = GatedLora.attach(model, lora_sites(model), seed=0)

    found = scored(gated, estimator=estimator, score=score)

    assert found.names == gated.names
    assert not found.score.any()
    assert not found.standard_error.any()


@pytest.mark.parametrize("estimator", ["serial", "per_row"])
@pytest.mark.parametrize("weighting", ["plain", "taylor"])
def test_without_masks_the_score_is_the_gradient_itself(gated, estimator, weighting):
    found = scored(
        gated,
        estimator=estimator,
        weighting=weighting,
        score="signed",
        passes=1,
        masks=MaskConfig("bernoulli", 0.0),
    )

    due = -gradient_under(gated, torch.ones(len(gated.sites)))
    if weighting == "taylor":
        due *= gated.gates.detach().numpy()
    np.testing.assert_allclose(found.score, due, atol=2e-3 * np.abs(due).max())


@pytest.mark.parametrize("score", ["abs_mean", "signed"])
def test_both_estimators_find_the_same_within_their_errors(gated, score):
    due = exact_scores(gated, score)

    serial = scored(gated, estimator="serial", score=score, passes=24)
    per_row = scored(gated, estimator="per_row", score=score)

    assert (serial.passes, per_row.passes) == (24, 1)
    assert (np.abs(serial.score - due) <= 3 * serial.standard_error).all()
    assert (np.abs(per_row.score - due) <= 3 * per_row.standard_error).all()
    together = np.hypot(serial.standard_error, per_row.standard_error)
    assert (np.abs(per_row.score - serial.score) <= 3 * together).all()


def test_mean_absolute_values_agree_too(gated):
    due = exact_scores(gated, "mean_abs")

    serial = scored(gated, estimator="serial", score="mean_abs", passes=24)
    per_row = scored(gated, scoring_batches(960), estimator="per_row", score="mean_abs", passes=12)

    assert (np.abs(serial.score - due) <= 3 * serial.standard_error).all()
    together = np.hypot(serial.standard_error, per_row.standard_error)
    assert (np.abs(per_row.score - serial.score) <= 3 * together).all()


def test_a_fair_coin_gives_the_trapezoidal_rule_for_what_closing_costs():
    model = small_bolt()
    gated = GatedLora.attach(model, lora_sites(model)[:1], seed=0)
    with torch.no_grad():
        gated.pair(gated.names[0])[1].fill_(0.02)

    found = scored(gated, estimator="serial", score="signed", passes=2)

    loss_of_rows = loss_with(model)
    with torch.no_grad():
        kept = torch.cat([loss_of_rows(batch) for batch in scoring_batches()]).double().mean()
        gated.close(gated.names)
        closed = torch.cat([loss_of_rows(batch) for batch in scoring_batches()]).double().mean()
    assert found.score[0] == pytest.approx(float(closed - kept), rel=0.05)


def test_standard_errors_shrink_as_they_should(gated):
    few = scored(gated, scoring_batches(96), score="signed")
    many = scored(gated, scoring_batches(96 * 16, size=256), score="signed")

    ratio = few.standard_error / many.standard_error
    assert (ratio > 2.5).all()
    assert (ratio < 6).all()


@pytest.mark.parametrize("estimator", ["serial", "per_row"])
def test_how_rows_are_batched_makes_no_difference(gated, estimator):
    found = [
        scored(gated, scoring_batches(size=size), estimator=estimator).score for size in (7, ROWS)
    ]

    np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-5 * found[0].max())


@pytest.mark.parametrize("estimator", ["serial", "per_row"])
def test_closed_sites_are_scored_and_stay_closed(gated, estimator):
    due = scored(gated, estimator=estimator).score
    gated.close(gated.names[1:4])
    before = gated.state_dict()

    with torch.no_grad():
        found = scored(gated, estimator=estimator)

    np.testing.assert_allclose(found.score, due, rtol=1e-5)
    assert gated.open_names == (gated.names[0], *gated.names[4:])
    after = gated.state_dict()
    assert all(torch.equal(after[name], held) for name, held in before.items())
    assert all(weight.grad is None for weight in gated.model.parameters())


def test_a_batch_may_be_a_single_tensor(gated):
    def loss_of_rows(contexts):
        return forecast(gated.model, contexts)[:, 4].square().mean(dim=1)

    found = score_sites(
        gated,
        loss_of_rows,
        [some_contexts(20)],
        masks=HALF,
        generator=np.random.default_rng(0),
    )

    assert (found.score > 0).all()
    assert found.seconds > 0


def test_more_groups_than_rows_are_no_harm(gated):
    found = scored(gated, scoring_batches(5), score="mean_abs", passes=8)

    assert np.isfinite(found.score).all()


@pytest.mark.parametrize(("batches", "passes"), [([], 8), (None, 0)])
def test_nothing_to_score_on_is_refused(gated, batches, passes):
    batches = scoring_batches() if batches is None else batches

    with pytest.raises(TraceError, match="at least one mask and one window"):
        score_sites(
            gated,
            loss_with(gated.model),
            batches,
            passes=passes,
            masks=HALF,
            generator=np.random.default_rng(0),
        )


def test_merged_lora_cannot_be_scored(gated):
    gated.merge()

    with pytest.raises(TraceError, match="unmerge it first"):
        scored(gated)
