import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsmemory.tuning.masks.front import (
    Point,
    compare_samplers,
    hypervolume,
    pareto_front,
    points_of,
    reference_of,
    search,
    tabulate_masks,
    thin_front,
)

REFERENCE = (12.0, 12.0)
PLANE = st.lists(
    st.tuples(st.integers(0, 14), st.integers(0, 14)).map(lambda p: Point((), float(p[0]), p[1])),
    max_size=12,
)


class Toy:
    """Sites that are worth more or less, at one weight each."""

    names = tuple(f"site{number}" for number in range(14))
    worth = np.random.default_rng(0).normal(size=14)

    def mask_of(self, params):
        return tuple(params[name] for name in self.names)

    def seeds(self):
        return {"all_on": (True,) * 14, "all_off": (False,) * 14}

    def settings(self):
        return {n: dict(zip(self.names, m, strict=True)) for n, m in self.seeds().items()}

    def title(self, mask):
        return {mask: name for name, mask in self.seeds().items()}.get(mask, "")

    def score(self, mask):
        return float(20 - self.worth @ np.array(mask)), sum(mask)

    def objective(self, trial):
        return self.score(tuple(trial.suggest_categorical(n, [False, True]) for n in self.names))


def dominates(one, other):
    no_worse = one.loss <= other.loss and one.parameters <= other.parameters
    return no_worse and one != other


@given(points=PLANE)
def test_the_front_is_what_nothing_dominates(points):
    front = pareto_front(points)
    wanted = {p for p in points if not any(dominates(other, p) for other in points)}
    assert set(front) == wanted
    assert len(front) == len(wanted)
    assert [p.parameters for p in front] == sorted(p.parameters for p in front)
    assert [p.loss for p in front] == sorted((p.loss for p in front), reverse=True)


@given(points=PLANE)
def test_the_hypervolume_counts_the_dominated_cells(points):
    cells = sum(
        any(p.loss <= x and p.parameters <= y for p in points) for x in range(12) for y in range(12)
    )
    assert hypervolume(points, REFERENCE) == pytest.approx(cells)


def test_the_hypervolume_is_that_of_optuna():
    compute = pytest.importorskip("optuna._hypervolume").compute_hypervolume
    values = np.random.default_rng(0).random((40, 2)) * 10
    points = [Point((), float(loss), float(size)) for loss, size in values]
    wanted = compute(values, np.array(REFERENCE))
    assert hypervolume(points, REFERENCE) == pytest.approx(wanted)


@given(points=PLANE, count=st.integers(1, 6))
def test_a_thin_front_keeps_the_lowest_loss_and_most_of_the_area(points, count):
    front = pareto_front(points)
    thin = thin_front(front, count, REFERENCE)
    assert len(thin) == min(count, len(front))
    assert set(thin) <= set(front)
    assert front == [] or front[-1] in thin
    areas = [hypervolume(thin_front(front, n, REFERENCE), REFERENCE) for n in (count, count + 1)]
    assert areas[0] <= areas[1] + 1e-9
    assert thin_front(front, len(front), REFERENCE) == front


def test_searches_begin_with_the_seeds_and_count_them():
    toy = Toy()
    points = search(toy, "nsgaii", 10, 0)
    assert len(points) == 10
    assert [p.mask for p in points[:2]] == list(toy.seeds().values())
    assert all(toy.score(p.mask) == (p.loss, p.parameters) for p in points)
    assert search(toy, "nsgaii", 10, 0) == points
    assert search(toy, "nsgaii", 10, 1) != points
    assert len(search(toy, "random", 1, 0)) == 1


def test_reference_is_the_worst_of_the_seeds():
    toy = Toy()
    assert reference_of(toy) == (max(toy.score(m)[0] for m in toy.seeds().values()), 14.0)


def test_searching_beats_guessing():
    table = compare_samplers(Toy(), trials=250, seeds=[0, 1])
    assert list(table["sampler"]) == ["nsgaii", "random"] * 2
    assert (table["trials"] == 250).all()
    assert (table["distinct"] <= 250).all()
    assert table["hypervolume"].between(0, 1).all()
    by_sampler = table.groupby("sampler")["hypervolume"]
    assert by_sampler.min()["nsgaii"] > by_sampler.max()["random"]


def test_only_complete_trials_are_points():
    toy = Toy()
    study = optuna.create_study(directions=["minimize", "minimize"])
    trial = study.ask()
    study.tell(trial, list(toy.objective(trial)))
    study.tell(study.ask(), state=optuna.trial.TrialState.FAIL)
    study.ask()
    (point,) = points_of(toy, study.trials)
    assert point == Point(toy.mask_of(study.trials[0].params), *study.trials[0].values)


def test_a_line_for_each_trial():
    toy = Toy()
    points = search(toy, "random", 8, 0)
    table = tabulate_masks(toy, points)
    assert list(table["mask"][:2]) == ["all_on", "all_off"]
    assert set(table["mask"][2:]) == {""}
    front = pareto_front(points)
    for line, point in zip(table.to_dict("records"), points, strict=True):
        assert line["bits"] == "".join("1" if bit else "0" for bit in point.mask)
        assert line["sites"] == sum(point.mask)
        assert line["front"] == (point in front)
    assert tabulate_masks(toy, []).columns.tolist() == table.columns.tolist()
