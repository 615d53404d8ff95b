import pickle
from dataclasses import replace

import numpy as np
import optuna
import pytest
import torch
from mask_bench import STUDY, TRAIN_END, mask_bench

from tsmemory.trace.errors import TraceError
from tsmemory.tuning.masks.config import MaskStudyConfig
from tsmemory.tuning.masks.problem import MaskProblem
from tsmemory.tuning.masks.supernet import restore_supernet, supernet_state


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tmp_path_factory.mktemp("masks") / "base"


@pytest.fixture(scope="module")
def problem(base):
    return MaskProblem(mask_bench(base), STUDY, 0)


def some_masks(problem, count=5):
    rng = np.random.default_rng(7)
    return [tuple(bool(bit) for bit in rng.random(len(problem.names)) < 0.5) for _ in range(count)]


def test_what_a_search_begins_with(problem):
    seeds, total = problem.seeds(), len(problem.names)
    assert total == 6
    sizes = {name: sum(mask) for name, mask in seeds.items()}
    assert sizes["all_on"] == total
    assert sizes["all_off"] == 0
    assert sizes["dsic"] == sizes["random_k"] == total // 2
    assert sizes["dsic_quarter"] == 1
    assert {name.rpartition(".")[2] for name in problem.open_names(seeds["qv"])} == {"q", "v"}
    opened = [set(problem.open_names(seeds[n])) for n in ("dsic_quarter", "dsic", "all_on")]
    assert opened[0] < opened[1] < opened[2]
    assert problem.title(seeds["qv"]) == "qv"
    assert problem.title((True, False, True, True, True, False)) == ""


def test_a_score_is_the_loss_under_a_mask_on_the_gates(problem):
    other = restore_supernet(problem.bench, problem.prepare())
    head = problem.bench.config.head
    scoring = problem.bench.examples(problem.bench.windows.scoring, head)
    windows = scoring.fit_to(other).at_most(STUDY.windows)
    for mask in [*problem.seeds().values(), *some_masks(problem)]:
        with other.lora.masked(torch.tensor(mask, dtype=torch.float32)):
            wanted = float(windows.mean_losses(other).sum())
        loss, parameters = problem.score(mask)
        assert loss == pytest.approx(wanted, rel=1e-5)
        pairs = [other.lora.pair(name) for name in problem.open_names(mask)]
        assert parameters == sum(a.numel() + b.numel() + 1 for a, b in pairs)
        assert problem.parameters(mask) == parameters


def test_without_sites_the_head_is_alone(problem):
    other = restore_supernet(problem.bench, problem.prepare())
    head = problem.bench.config.head
    windows = problem.bench.examples(problem.bench.windows.scoring, head).at_most(STUDY.windows)
    other.lora.detach()
    other.lora = None
    loss, parameters = problem.score(problem.mask([]))
    assert loss == pytest.approx(float(windows.mean_losses(other).sum()), rel=1e-5)
    assert parameters == 0


def test_the_supernet_has_learnt_something(problem):
    scores = {name: problem.score(mask)[0] for name, mask in problem.seeds().items()}
    assert abs(scores["all_on"] - scores["all_off"]) > 1e-4


def test_scores_do_not_depend_on_what_was_scored_before(problem, base):
    masks = some_masks(problem)
    found = [problem.score(mask) for mask in masks]
    fresh = MaskProblem(mask_bench(base), STUDY, 0)
    fresh.prepare(problem.prepare())
    assert [fresh.score(mask) for mask in reversed(masks)] == found[::-1]


def test_the_same_seed_gives_the_same_supernet_and_chance_is_left_alone(problem, base):
    before = torch.get_rng_state()
    again = MaskProblem(mask_bench(base), STUDY, 0)
    state = again.prepare()
    assert torch.equal(torch.get_rng_state(), before)
    same = problem.prepare()
    assert all(np.array_equal(state[name], same[name]) for name in same)
    assert again.seeds() == problem.seeds()
    other = MaskProblem(mask_bench(base), STUDY, 1).prepare()
    assert any(not np.array_equal(other[name], same[name]) for name in same)


def test_no_trial_sees_the_later_part_of_validation(problem, base):
    bench = mask_bench(base)
    border = int(bench.windows.selection.start.min())
    assert border > TRAIN_END
    values = [bench.series.row_values(row, 420).copy() for row in (0, 1)]
    changed = [np.where(np.arange(420) < border, row, 9 - row) for row in values]
    other = MaskProblem(
        mask_bench(base, values=[row.astype(np.float32) for row in changed]), STUDY, 0
    )
    state, same = other.prepare(), problem.prepare()
    assert all(np.array_equal(state[name], same[name]) for name in same)
    masks = some_masks(problem)
    assert [other.score(mask) for mask in masks] == [problem.score(mask) for mask in masks]


def test_it_can_be_sent_to_another_process(problem):
    sent = pickle.loads(pickle.dumps(problem))
    assert sent.seeds() == problem.seeds()
    assert sent.fingerprint() == problem.fingerprint()
    for mask in some_masks(problem):
        assert sent.score(mask) == problem.score(mask)
    assert np.array_equal(sent.later.windows.start, problem.later.windows.start)


def test_an_untrained_problem_is_sent_untrained(base):
    sent = pickle.loads(pickle.dumps(MaskProblem(mask_bench(base), STUDY, 3)))
    assert sent.seed == 3
    assert sent._model is None


def test_another_study_has_another_fingerprint(problem, base):
    def known(config=STUDY, seed=0, **changes):
        return MaskProblem(mask_bench(base, **changes), config, seed).fingerprint()

    assert known() == problem.fingerprint()
    rows = [np.full(420, 0.5, np.float32)] * 2
    others = {known(seed=1), known(replace(STUDY, steps=13)), known(values=rows)}
    assert len(others | {problem.fingerprint()}) == 4


def test_trials_stand_for_masks(problem):
    study = optuna.create_study(directions=["minimize", "minimize"])
    settings = problem.settings()
    for params in settings.values():
        study.enqueue_trial(params)
    for mask in problem.seeds().values():
        trial = study.ask()
        assert problem.suggest(trial) == mask
        assert problem.mask_of(trial.params) == mask
        study.tell(trial, list(problem.score(mask)))
    assert {len(params) for params in settings.values()} == {len(problem.names)}


def test_names_and_states_of_other_models_are_refused(problem):
    with pytest.raises(TraceError, match=r"'x' is not a site"):
        problem.mask(["x"])
    state = problem.prepare()
    head = {name: array for name, array in state.items() if name.startswith("head.")}
    with pytest.raises(TraceError, match="LoRA's weights do not fit"):
        restore_supernet(problem.bench, head)
    lora = {name: array for name, array in state.items() if name.startswith("lora.")}
    with pytest.raises(TraceError, match="another head"):
        restore_supernet(problem.bench, lora)
    plain = problem.bench.model(problem.bench.config.head)
    with pytest.raises(TraceError, match="no supernet"):
        supernet_state(plain)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"steps": 0}, "steps must be at least 1"),
        ({"lora_rate": 0.0}, "lora_rate must be above 0"),
        ({"seeds": ()}, "seeds must be distinct"),
        ({"seeds": (1, 1)}, "seeds must be distinct"),
        ({"level": 1.0}, "level must lie between"),
    ],
)
def test_impossible_settings_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        MaskStudyConfig(**changes)
