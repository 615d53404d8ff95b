import numpy as np
import pytest
import torch

from builders import LEVELS
from tsmemory.memory.config import ObjectiveConfig
from tsmemory.memory.objective import Batch, gate, objective, pinball

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
