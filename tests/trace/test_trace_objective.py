import numpy as np
import pytest
import torch

from builders import LEVELS
from tsmemory.trace.objective import horizon_weights, known_weight, row_losses, step_losses


def brute_force(quantiles, targets, weights, loss):
    found = np.zeros(len(targets))
    for b in range(len(targets)):
        for t in range(targets.shape[1]):
            if np.isnan(targets[b, t]):
                continue
            error = targets[b, t] - quantiles[b, :, t]
            pinball = [max(q * e, (q - 1) * e) for q, e in zip(LEVELS, error, strict=True)]
            found[b] += weights[t] * 2 * np.mean(pinball)
            if loss == "squared":
                found[b] += weights[t] * error[4] ** 2
    return found


@pytest.mark.parametrize("loss", ["quantile", "squared"])
def test_losses_are_those_of_a_plain_loop(loss):
    rng = np.random.default_rng(0)
    quantiles = np.sort(rng.normal(size=(3, 9, 5)), axis=1)
    targets = rng.normal(size=(3, 5))
    targets[1, 2:] = np.nan
    weights = rng.random(5)
    found = row_losses(
        torch.tensor(quantiles),
        torch.tensor(targets),
        levels=LEVELS,
        weights=torch.tensor(weights),
        loss=loss,
    )
    np.testing.assert_allclose(found, brute_force(quantiles, targets, weights, loss))


def test_the_median_moves_by_the_squared_error_alone():
    quantiles = torch.arange(9.0)[None, :, None].requires_grad_()
    targets = torch.tensor([[1.5]])
    row_losses(
        quantiles, targets, levels=LEVELS, weights=torch.ones(1), loss="squared"
    ).sum().backward()
    # A shift of all quantiles moves the median, and leaves the distances as they are.
    assert float(quantiles.grad.sum()) == pytest.approx(2 * (4 - 1.5))


def test_step_weights_give_the_mean_over_horizons():
    error = torch.rand(12)
    weights = horizon_weights([3, 7, 12])
    wanted = torch.stack([error[:h].mean() for h in (3, 7, 12)]).mean()
    assert float((weights * error).sum()) == pytest.approx(float(wanted))
    assert float(weights.sum()) == pytest.approx(1)


def test_known_weight_leaves_out_what_is_missing():
    targets = torch.tensor([[1.0, 2.0, float("nan")], [1.0, 2.0, 3.0]])
    found = known_weight(targets, torch.tensor([0.5, 0.25, 0.25]))
    np.testing.assert_allclose(found, [0.75, 1.0])


def test_parts_are_those_that_rows_sum_up():
    rng = np.random.default_rng(1)
    quantiles, targets = torch.tensor(rng.normal(size=(2, 9, 3))), torch.tensor(rng.random((2, 3)))
    targets[0, 1] = float("nan")
    parts = step_losses(quantiles, targets, levels=LEVELS, loss="squared")
    assert parts.shape == (2, 2, 3)
    np.testing.assert_allclose(parts[0, 1], (quantiles[1, 4] - targets[1]) ** 2)
    pinball = step_losses(quantiles, targets, levels=LEVELS, loss="quantile")
    np.testing.assert_allclose(parts[1], pinball[0])
    assert (parts[:, 0, 1] == 0).all()
