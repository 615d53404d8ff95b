from dataclasses import replace

import numpy as np
import pytest
import torch

from builders import LEVELS
from tsmemory.memory.config import ObjectiveConfig
from tsmemory.memory.objective import Batch, advantage_gate, crossing, gate, objective, pinball

LEVEL = torch.tensor(LEVELS)
THREE = torch.tensor([0.1, 0.5, 0.9])


def batch_of(target, backbone, teacher, confidence):
    arrays = (target, backbone, teacher, confidence)
    return Batch(*(torch.tensor(a, dtype=torch.float32) for a in arrays))


def huber(x):
    return 0.5 * x**2 if abs(x) <= 1 else abs(x) - 0.5


@pytest.fixture
def tiny():
    """Two windows of two steps and three levels; the teacher is better on the first."""
    nan = float("nan")
    return batch_of(
        target=[[1.0, 2.0], [0.0, nan]],
        backbone=[[[-1, 0], [0, 1], [1, 2]], [[-1, -1], [0, 0], [1, 1]]],
        teacher=[[[0, 1.5], [1, 2], [2, 2.5]], [[1, 1], [2, 2], [3, 3]]],
        confidence=[0.25, 0.5],
    )


@pytest.fixture
def memory():
    return torch.tensor(
        [[[-0.5, 0.5], [0.5, 1.5], [1.5, 2.5]], [[-1, -1], [0.5, 0], [4, 1]]], requires_grad=True
    )


def test_pinball_by_hand():
    target = torch.tensor([[2.0, float("nan")]])
    quantiles = torch.tensor([[[1.0, 5.0], [2.0, 6.0], [4.0, 7.0]]])
    expected = (0.1 * 1 + 0.5 * 0 + 0.1 * 2) / 3
    torch.testing.assert_close(pinball(target, quantiles, THREE), torch.tensor([[expected, 0.0]]))


def test_pinball_is_least_at_the_quantiles():
    values = torch.from_numpy(np.random.default_rng(0).normal(size=4001).astype(np.float32))
    truth = torch.quantile(values, LEVEL)[None, :, None]
    target = values[:, None]
    best = pinball(target, truth.expand(len(target), -1, -1), LEVEL).mean()
    for shift in (-0.2, 0.2):
        other = pinball(target, (truth + shift).expand(len(target), -1, -1), LEVEL).mean()
        assert best < other


def test_the_gate_by_hand(tiny):
    omega = gate(tiny, ObjectiveConfig(), median=1)
    torch.testing.assert_close(omega, torch.tensor([0.25, 0.0]))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"gamma": 2.0}, 0.0625),
        ({"gamma": 0.0}, 1.0),
        ({"confidence_threshold": 0.25}, 0.25),
        ({"confidence_threshold": 0.26}, 0.0),
        ({"margin": 0.9}, 0.25),  # errors are 0 and 1
        ({"margin": 1.0}, 0.0),
    ],
)
def test_gate_settings(tiny, settings, expected):
    omega = gate(tiny, ObjectiveConfig(**settings), median=1)
    torch.testing.assert_close(omega, torch.tensor([expected, 0.0]))


@pytest.mark.parametrize("gamma", [0.0, 1.0])
def test_no_neighbour_or_no_confidence_never_opens_the_gate(tiny, gamma):
    nan = torch.full_like(tiny.teacher, torch.nan)
    config = ObjectiveConfig(gamma=gamma)
    absent = Batch(tiny.target, tiny.backbone, nan, tiny.confidence)
    assert not gate(absent, config, median=1).any()
    unsure = Batch(tiny.target, tiny.backbone, tiny.teacher, torch.zeros(2))
    assert not gate(unsure, config, median=1).any()


def test_the_gate_compares_over_known_steps_only():
    nan = float("nan")
    batch = batch_of(
        target=[[0.0, nan], [0.0, 0.0], [nan, nan]],
        backbone=[[[1, 0]], [[1, 0]], [[1, 1]]],
        teacher=[[[0.5, 9]], [[nan, 1]], [[0, 0]]],
        confidence=[1, 1, 1],
    )
    # In the second, the teacher is compared with the backbone where there is a teacher: 1 > 0.
    assert gate(batch, ObjectiveConfig(), median=0).tolist() == [1.0, 0.0, 0.0]


def test_every_term_by_hand(tiny, memory):
    config = ObjectiveConfig(align=0.3, delta=0.5, anchor=0.2)
    terms = objective(memory, memory, tiny, levels=THREE, median=1, config=config)
    m, t = memory.detach().numpy(), tiny.teacher.numpy()
    loss = 0.0
    for window, step in ((0, 0), (0, 1), (1, 0)):
        y = float(tiny.target[window, step])
        for level, q in zip((0.1, 0.5, 0.9), m[window, :, step], strict=True):
            loss += max(level * (y - q), (level - 1) * (y - q)) / 3
    assert terms["task"].item() == pytest.approx(loss / 3, rel=1e-5)

    align = 0.0
    for step in range(2):
        levels = np.mean([huber(m[0, q, step] - t[0, q, step]) for q in range(3)])
        align += (levels + 0.5 * huber(m[0, 1, step] - t[0, 1, step])) / 2
    assert terms["align"].item() == pytest.approx(0.25 * align / 2, rel=1e-5)

    anchors = [
        np.mean([huber(m[w, 1, s] - float(tiny.backbone[w, 1, s])) for s in range(2)])
        for w in range(2)
    ]
    anchor = (0.75 * anchors[0] + 1.0 * anchors[1]) / 2
    assert terms["anchor"].item() == pytest.approx(anchor, rel=1e-5)
    assert terms["gate"].item() == pytest.approx(0.125)
    total = terms["task"] + 0.3 * terms["align"] + 0.2 * terms["anchor"]
    torch.testing.assert_close(terms["total"], total)


def test_the_task_is_taken_on_the_fused_forecast(tiny, memory):
    fused = memory.detach() + 3
    terms = objective(memory, fused, tiny, levels=THREE, median=1, config=ObjectiveConfig())
    other = objective(fused, fused, tiny, levels=THREE, median=1, config=ObjectiveConfig())
    torch.testing.assert_close(terms["task"], other["task"])
    assert terms["align"].item() != other["align"].item()


def test_unknown_targets_and_teachers_give_no_gradient(tiny, memory):
    nan = torch.nan
    teacher = tiny.teacher.clone()
    teacher[0, :, 1] = nan
    batch = Batch(tiny.target, tiny.backbone, teacher, tiny.confidence)
    config = ObjectiveConfig(anchor=0.0)
    objective(memory, memory, batch, levels=THREE, median=1, config=config)["total"].backward()
    assert torch.isfinite(memory.grad).all()
    assert (memory.grad[1, :, 1] == 0).all()  # target unknown, gate shut
    memory.grad = None
    objective(memory, memory, batch, levels=THREE, median=1, config=config)["align"].backward()
    assert (memory.grad[0, :, 1] == 0).all()  # no teacher at that step
    assert memory.grad[0, :, 0].any()


def test_a_batch_without_any_target_or_teacher_is_finite(memory):
    empty = Batch(
        torch.full((2, 2), torch.nan),
        torch.zeros(2, 3, 2),
        torch.full((2, 3, 2), torch.nan),
        torch.zeros(2),
    )
    terms = objective(memory, memory, empty, levels=THREE, median=1, config=ObjectiveConfig())
    assert all(torch.isfinite(value) for value in terms.values())
    assert terms["task"] == terms["align"] == 0
    assert terms["anchor"] > 0


@pytest.mark.parametrize(
    ("advantage", "margin", "expected"),
    [
        ([0.3, -0.1], 0.0, [0.25, 0.0]),
        ([0.3, 0.2], 0.0, [0.25, 0.5]),
        ([0.3, 0.2], 0.25, [0.25, 0.0]),
        ([float("nan"), 0.2], 0.0, [0.0, 0.5]),
    ],
)
def test_a_predicted_advantage_takes_the_place_of_the_realised_one(
    tiny, advantage, margin, expected
):
    batch = replace(tiny, advantage=torch.tensor(advantage))
    config = ObjectiveConfig(gate="out_of_fold", margin=margin)
    torch.testing.assert_close(gate(batch, config, median=1), torch.tensor(expected))


def test_without_a_gate_every_taught_window_follows_its_teacher(tiny):
    teacher = tiny.teacher.clone()
    teacher[0] = torch.nan
    config = ObjectiveConfig(gate="none")
    assert gate(tiny, config, median=1).tolist() == [0.25, 0.5]
    assert gate(replace(tiny, teacher=teacher), config, median=1).tolist() == [0.0, 0.5]


def test_crossing_by_hand():
    quantiles = torch.tensor([[[0.0, 3.0], [1.0, 1.0], [0.5, 2.0]]])
    assert crossing(quantiles).item() == pytest.approx((0.5 + 2.0) / 4)
    assert crossing(quantiles.sort(dim=1).values).item() == 0
    assert crossing(quantiles[:, :1]).item() == 0


def test_crossing_counts_inside_the_anchor_where_it_can_happen(tiny, memory):
    config = ObjectiveConfig(anchor=0.2, cross=0.7)
    settings = {"levels": THREE, "median": 1, "config": config}
    upside_down = memory.detach().flip(1)
    terms = objective(upside_down, upside_down, tiny, **settings, can_cross=True)
    plain = objective(upside_down, upside_down, tiny, **settings)
    assert terms["cross"].item() == pytest.approx(crossing(upside_down).item())
    assert terms["cross"].item() > 0
    assert "cross" not in plain
    extra = terms["total"] - plain["total"]
    torch.testing.assert_close(extra, 0.2 * 0.7 * terms["cross"])


def test_the_huber_loss_turns_linear_where_it_is_told(tiny, memory):
    near, far = (
        objective(memory, memory, tiny, levels=THREE, median=1, config=ObjectiveConfig(huber=h))
        for h in (0.5, 1.0)
    )
    m, b = memory.detach()[:, 1], tiny.backbone[:, 1]
    expected = torch.nn.functional.huber_loss(m, b, reduction="none", delta=0.5).mean(dim=1)
    anchor = (0.75 * expected[0] + expected[1]) / 2
    torch.testing.assert_close(near["anchor"], anchor)
    assert near["align"] < far["align"]


def test_the_objective_of_the_code_by_hand(tiny, memory):
    nan = torch.nan
    teacher = tiny.teacher.clone()
    teacher[1, :, 0] = nan
    batch = replace(tiny, teacher=teacher)
    crossed = memory.detach().clone()
    crossed[1, 2, 0] = 0.25  # below the median's 0.5
    config = ObjectiveConfig(form="code", align=9, anchor=9, delta=9, cross=9, gamma=9)
    terms = objective(crossed, crossed + 5, batch, levels=THREE, median=1, config=config)
    m, t, b = crossed.numpy(), teacher.numpy(), tiny.backbone.numpy()
    y, conf, chi = tiny.target.numpy(), (0.25, 0.5), (1, 0)
    whole, tasks, aligns, points, anchors = 0.0, [], [], [], []
    for w in range(2):
        taught = [s for s in range(2) if not np.isnan(t[w, 1, s])]
        known = [s for s in range(2) if not np.isnan(y[w, s])]
        others = np.mean([(huber(m[w, q, s] - t[w, q, s])) for q in (0, 2) for s in taught])
        middle = np.mean([huber(m[w, 1, s] - t[w, 1, s]) for s in taught])
        aligns.append(others + chi[w] * middle)
        losses = []
        for s in known:
            for level, weight, q in ((0.1, 1, 0), (0.5, 5, 1), (0.9, 1, 2)):
                gap = y[w, s] - m[w, q, s]
                losses.append(weight * max(level * gap, (level - 1) * gap) / 7)
        tasks.append(sum(losses) / len(known))
        points.append(np.mean([huber(m[w, 1, s] - y[w, s]) for s in known]))
        anchors.append((1 - conf[w]) * np.mean([huber(m[w, 1, s] - b[w, 1, s]) for s in range(2)]))
        beta = 0.2 + 0.6 * conf[w]
        whole += (beta * aligns[w] + (1 - beta) * tasks[w]) / 2
    cross = (m[1, 1, 0] - m[1, 2, 0]) / 8
    expected = whole + 0.1 * np.mean(points) + 0.3 * np.mean(anchors) + 0.05 * cross
    assert terms["total"].item() == pytest.approx(expected, rel=1e-5)
    found = [terms[name].item() for name in ("task", "align", "point", "anchor", "cross", "gate")]
    means = [np.mean(tasks), np.mean(aligns), np.mean(points), np.mean(anchors), cross, 0.5]
    assert found == pytest.approx(means, rel=1e-5)


def test_with_nine_levels_the_code_divides_by_thirteen():
    target, levels = torch.tensor([[1.0]]), LEVEL
    batch = Batch(target, torch.zeros(1, 9, 1), torch.full((1, 9, 1), torch.nan), torch.zeros(1))
    terms = objective(
        torch.zeros(1, 9, 1), torch.zeros(1, 9, 1), batch, levels=levels, median=4,
        config=ObjectiveConfig(form="code"),
    )  # fmt: skip
    assert terms["task"].item() == pytest.approx((sum(LEVELS) + 4 * 0.5) / 13)
    # Without a teacher beta is 0.2 and its terms are 0; the point is 1 off.
    assert terms["total"].item() == pytest.approx(0.8 * terms["task"].item() + 0.1 * 0.5)


@pytest.mark.parametrize("form", ["paper", "code"])
def test_nothing_known_gives_no_gradient_that_is_not_finite(memory, form):
    empty = Batch(
        torch.full((2, 2), torch.nan),
        torch.zeros(2, 3, 2),
        torch.full((2, 3, 2), torch.nan),
        torch.zeros(2),
    )
    config = ObjectiveConfig(form=form)
    assert not advantage_gate(empty, config, median=1).any()
    terms = objective(memory, memory, empty, levels=THREE, median=1, config=config, can_cross=True)
    terms["total"].backward()
    assert torch.isfinite(memory.grad).all()
