import numpy as np
import pytest
import torch

from builders import LEVELS, save_tiny_bolt
from tsmemory.backbones import load_backbone
from tsmemory.trace.config import HeadConfig
from tsmemory.trace.encoder import PatchEncoder
from tsmemory.trace.errors import TraceError
from tsmemory.trace.head_directions import regression_directions
from tsmemory.trace.head_ridge import HeadRows, mean_squared_error, solve_head
from tsmemory.trace.head_widths import residual_widths
from tsmemory.trace.heads import build_head, build_native_head
from tsmemory.trace.weighted_ridge import WeightedRidge

N, D, H = 3, 8, 6
PENALTIES = (1e-3, 1e-1, 10.0)
OWN = ("linear", "projection", "truncation", "pooling", "depthwise", "low_rank")


def rows_of(seed=0, count=120, rank=2, noise=0.1, width=D, shift=0.0):
    """Tokens, and targets that depend on a few directions of their features."""
    shared, rng = np.random.default_rng(9), np.random.default_rng(seed)
    directions = shared.normal(size=(width, rank))
    per_patch = shared.normal(size=(N * rank, H))
    tokens = rng.normal(size=(count, N, width)) * np.linspace(0.5, 2, width) + shift
    said = (tokens @ directions).reshape(count, -1) @ per_patch
    targets = said + noise * rng.normal(size=(count, H))
    weights = rng.uniform(0.2, 3, count)
    return HeadRows(*(torch.from_numpy(a.astype(np.float32)) for a in (tokens, targets, weights)))


def head_of(kind, *, width=2, rank=2, levels="point", native=None):
    torch.manual_seed(1)
    config = HeadConfig(kind=kind, width=width, rank=rank, levels=levels, loss="squared")
    return build_head(config, tokens=N, width=D, horizon=H, levels=LEVELS, native=native)


def solve(head, train, validation=None, *, penalties=PENALTIES, span=2, **options):
    return solve_head(
        head,
        train,
        rows_of(1) if validation is None else validation,
        calendar=torch.arange(len(train.tokens)),
        span=span,
        penalties=penalties,
        **options,
    )


def brute_force(x, y, w, share):
    """Weighted ridge with a free bias from the normal equations, in double precision."""
    x, y, w = (part.double().numpy() for part in (x, y, w))
    mean_x, mean_y = np.average(x, axis=0, weights=w), np.average(y, axis=0, weights=w)
    x, y = x - mean_x, y - mean_y
    gram = (x * w[:, None]).T @ x
    penalty = share * np.trace(gram) / len(gram)
    weight = np.linalg.solve(gram + penalty * np.eye(len(gram)), (x * w[:, None]).T @ y)
    return weight, mean_y - mean_x @ weight


@pytest.mark.parametrize("count", [120, 15])  # more windows than features, and fewer
@pytest.mark.parametrize("share", [1e-2, 1.0])
def test_path_and_solve_equal_the_normal_equations(count, share):
    rows = rows_of(count=count, shift=1.0)
    features = rows.tokens.flatten(1)
    weight, bias = brute_force(features, rows.targets, rows.weights, share)
    ridge = WeightedRidge(features, rows.weights)
    for found in (ridge.solve(rows.targets, share), *ridge.path(rows.targets, [share])):
        np.testing.assert_allclose(found.weight.numpy(), weight, atol=2e-4)
        np.testing.assert_allclose(found.bias.numpy(), bias, atol=2e-4)


def test_low_rank_is_the_best_of_its_rank_under_the_penalised_error():
    rows = rows_of(rank=4, noise=1.0)
    x, share, rank = rows.tokens.flatten(1), 0.1, 2
    emphasis = torch.linspace(3, 0.5, H)
    ridge = WeightedRidge(x, rows.weights)
    found = ridge.solve(rows.targets, share)
    down, up, bias = (part.double().numpy() for part in found.factors(rank, emphasis))
    w, counts = rows.weights.double().numpy(), emphasis.double().numpy()
    table, targets = x.double().numpy(), rows.targets.double().numpy()
    centred = table - np.average(table, axis=0, weights=w)
    penalty = share * (w[:, None] * centred**2).sum() / centred.shape[1]

    def objective(weight, bias):
        error = (targets - table @ weight - bias) ** 2
        return (w[:, None] * error * counts).sum() + penalty * (weight**2 * counts).sum()

    least = objective(down @ up, bias)
    rng = np.random.default_rng(0)
    for size in (1e-3, 1e-2, 1e-1):
        for _ in range(20):
            moved = down + size * rng.normal(size=down.shape), up + size * rng.normal(size=up.shape)
            weight = moved[0] @ moved[1]
            best_bias = np.average(targets - table @ weight, axis=0, weights=w)
            assert objective(weight, best_bias) > least
    full, rows_up, full_bias = found.factors(H + 3, emphasis)
    torch.testing.assert_close(full @ rows_up, found.weight, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(full_bias, found.bias, atol=1e-4, rtol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(down, axis=0), np.linalg.norm(up, axis=1), rtol=1e-3)


def test_the_flat_head_is_exactly_the_ridge():
    train, head = rows_of(), head_of("linear")
    start = solve(head, train)
    weight, bias = brute_force(train.tokens.flatten(1), train.targets, train.weights, start.penalty)
    np.testing.assert_allclose(head.output.weight.detach().numpy().T, weight, atol=1e-4)
    np.testing.assert_allclose(head.output.bias.detach().numpy(), bias, atol=1e-4)


@pytest.mark.parametrize("kind", OWN)
def test_validation_chooses_the_penalty_and_its_error_is_reported(kind):
    head, validation = head_of(kind), rows_of(1, noise=2.0)
    start = solve(head, rows_of(count=40, noise=2.0), validation)
    assert len(start.validation_mse) == len(PENALTIES)
    assert min(start.validation_mse.values()) == start.validation_mse[f"{start.penalty:g}"]
    with torch.no_grad():
        found = mean_squared_error(head.point, validation, torch.ones(H))
        error = (validation.targets - head.point(validation.tokens)).numpy()
    assert found == pytest.approx(start.validation_mse[f"{start.penalty:g}"], rel=1e-4)
    weights = validation.weights.numpy()
    assert found == pytest.approx((weights[:, None] * error**2).mean(), rel=1e-4)


@pytest.mark.parametrize("kind", ["projection", "depthwise", "low_rank"])
def test_heads_find_the_directions_that_targets_depend_on(kind):
    """Two directions of the features carry everything: a head of width 2 loses nothing."""
    width = 2 if kind != "low_rank" else H
    head, flat = head_of(kind, width=width, rank=width), head_of("linear")
    validation = rows_of(1)
    start = solve(head, rows_of(), validation)
    best = solve(flat, rows_of(), validation)
    assert min(start.validation_mse.values()) < 1.05 * min(best.validation_mse.values())


def test_directions_are_the_leading_singular_vectors_of_the_flat_ridge():
    train = rows_of(rank=4, noise=1.0)
    flat = WeightedRidge(train.tokens.flatten(1), train.weights).solve(train.targets, 0.1)
    found = regression_directions(flat, D, 3).double().numpy()
    table = flat.weight.double().numpy().reshape(N, D, H).transpose(1, 0, 2).reshape(D, N * H)
    left = np.linalg.svd(table)[0][:, :3]
    np.testing.assert_allclose(np.abs(np.sum(found.T * left, axis=0)), 1, atol=1e-5)


def test_truncation_keeps_the_features_that_vary_most():
    head = head_of("truncation", width=3)
    solve(head, rows_of(count=2000))
    assert head.reduce.kept.tolist() == [5, 6, 7]


def test_step_weights_decide_what_a_low_rank_is_spent_on():
    train, validation = rows_of(rank=4), rows_of(1, rank=4)
    errors = []
    for weights in (torch.ones(H), torch.tensor([1000.0] + [1.0] * (H - 1))):
        head = head_of("low_rank", rank=1)
        solve(head, train, validation, step_weights=weights)
        with torch.no_grad():
            error = (validation.targets - head.point(validation.tokens)).square().mean(dim=0)
        errors.append(error)
    assert errors[1][0] < errors[0][0]
    assert errors[1].sum() > errors[0].sum()


def test_missing_steps_are_bridged_and_lost_windows_left_out():
    train = rows_of()
    gappy = HeadRows(train.tokens, train.targets.clone(), train.weights.clone())
    gappy.targets[3] = torch.nan
    gappy.weights[5] = 0.0
    gappy.targets[7, 2] = torch.nan
    bridged = HeadRows(train.tokens, train.targets.clone(), train.weights)
    bridged.targets[7, 2] = (train.targets[7, 1] + train.targets[7, 3]) / 2
    left = [number for number in range(len(train.tokens)) if number not in (3, 5)]
    one, other = head_of("linear", levels="quantile"), head_of("linear", levels="quantile")
    solve(one, gappy, penalties=[0.1])
    solve_head(
        other,
        bridged.take(torch.tensor(left)),
        rows_of(1),
        calendar=torch.tensor(left),
        span=2,
        penalties=[0.1],
    )
    for name, tensor in one.state_dict().items():
        torch.testing.assert_close(tensor, other.state_dict()[name], atol=1e-4, rtol=1e-4)


def test_unknown_validation_steps_count_as_nothing():
    validation = rows_of(1)
    holes = HeadRows(validation.tokens, validation.targets.clone(), validation.weights)
    holes.targets[:, 4:] = torch.nan
    head = head_of("linear")
    with torch.no_grad():
        error = (validation.targets - head.point(validation.tokens)).square()[:, :4]
        expected = float((validation.weights[:, None] * error).mean())
    assert mean_squared_error(head.point, holes, torch.ones(H)) == pytest.approx(expected, rel=1e-5)


def test_nothing_to_learn_from_is_refused():
    train = rows_of()
    unknown = HeadRows(train.tokens, torch.full_like(train.targets, torch.nan), train.weights)
    with pytest.raises(TraceError, match="no training window has a known target"):
        solve(head_of("linear"), unknown)


def test_widths_are_weighted_quantiles_of_residuals():
    rng = np.random.default_rng(0)
    residuals = rng.normal(size=(50, 3)).astype(np.float32)
    counts = rng.integers(1, 5, 50)
    residuals[:5, 1] = np.nan
    found = residual_widths(
        torch.from_numpy(residuals), torch.from_numpy(counts.astype(np.float32)), LEVELS
    )
    for step in range(3):
        copies = np.repeat(residuals[:, step], counts)
        expected = np.nanquantile(copies, LEVELS, method="inverted_cdf")
        np.testing.assert_allclose(found[:, step].numpy(), np.diff(expected), atol=1e-6)
    unknown = torch.full((4, 2), torch.nan)
    assert not residual_widths(unknown, torch.ones(4), LEVELS).any()


def test_quantiles_cover_new_windows_as_they_should():
    """In-sample residuals of a flexible ridge are too small; held-out ones are not."""
    train, fresh = rows_of(count=60, noise=1.0), rows_of(5, count=2000, noise=1.0)
    head = head_of("linear", levels="quantile")
    solve(head, train, penalties=[1e-4])
    with torch.no_grad():
        quantiles = head(fresh.tokens)
    inside = (fresh.targets >= quantiles[:, 0]) & (fresh.targets <= quantiles[:, -1])
    assert 0.72 < float(inside.float().mean()) < 0.92


def test_a_train_split_too_short_for_folds_still_gives_widths():
    head = head_of("linear", levels="quantile")
    solve(head, rows_of(), span=10_000)
    assert torch.isfinite(head.widths.base).all()


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_share_of_the_backbones_forecast_is_found(tmp_path, share):
    backbone = load_backbone(save_tiny_bolt(tmp_path / "bolt", horizon=H))
    encoder = PatchEncoder(backbone._model, 24, reading="both")
    native = build_native_head(HeadConfig(kind="native"), encoder, H)
    config = HeadConfig(kind="pooling", width=1, levels="point", loss="squared")
    head = build_head(
        config, tokens=N, width=encoder.width, horizon=H, levels=LEVELS, native=native
    )
    rng = torch.Generator().manual_seed(0)
    rows = []
    for _ in range(2):
        with torch.no_grad():
            tokens = encoder(torch.randn(80, 24, generator=rng)).tokens
            tokens[:, N:] += torch.randn(80, 1, encoder.width, generator=rng)
            targets = share * head.native_median(tokens)
        rows.append(HeadRows(tokens, targets, torch.ones(80)))
    start = solve(head, rows[0], rows[1])
    assert start.skip == share
    torch.testing.assert_close(head.skip, torch.full((H,), share), atol=0.02, rtol=0)
    with torch.no_grad():
        torch.testing.assert_close(head.point(rows[1].tokens), rows[1].targets, atol=1e-3, rtol=0)
