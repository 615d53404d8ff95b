import json
from dataclasses import replace

import optuna
import pytest

from tsmemory.memory.config import FusionConfig, GateConfig, ObjectiveConfig
from tsmemory.pipelines.distillation.params import DistillationParams
from tsmemory.pipelines.indexing.params import IndexingParams
from tsmemory.pipelines.teacher.params import TeacherParams
from tsmemory.tuning.gates.settings import CalibrationSettings, GateSettings, TeacherSettings
from tsmemory.tuning.gates.space import GateSpace, Range, round_off, settings_from

DEFAULT = GateSettings("embedding", 20, 0.12, ObjectiveConfig(), FusionConfig())
UNUSUAL = GateSettings(
    "window",
    33,
    3.0,
    ObjectiveConfig(align=0.0, anchor=40.0, margin=0.7, confidence_threshold=0.4),
    FusionConfig(block=7, training_weight=9.0, groups="none", gate=GateConfig(min_spread=0.123456)),
)


def space_around(default, **changes):
    given = {
        "untrusted_share": 0.0,
        "key_kinds": ["embedding", "window", "tail"],
        "ks": [5, 10, 20, 50],
        "longest": 50,
        "by_channel": True,
        "gates": {"min_spread": (1.0, 2.0), "max_disagreement": (0.3,), "max_volatility": ()},
    }
    return GateSpace.around(default, **{**given, **changes})


@pytest.mark.parametrize("default", [DEFAULT, UNUSUAL])
def test_every_value_of_the_default_is_in_the_space(default):
    space = space_around(default, untrusted_share=0.95)
    study = optuna.create_study()
    study.enqueue_trial(space.default)
    trial = study.ask()
    assert space.suggest(trial) == space.default
    assert trial.params == space.default
    share = {"confidence_threshold": default.objective.confidence_threshold}
    found = settings_from(space.default, default)
    assert replace(found, objective=replace(found.objective, **share)) == default


@pytest.mark.parametrize("default", [DEFAULT, UNUSUAL])
def test_the_pipelines_take_what_a_trial_tries(default):
    space = space_around(default)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(50):
        settings = settings_from(space.suggest(study.ask()), default)
        overrides = settings.overrides()
        assert json.loads(json.dumps(overrides)) == overrides
        distillation = DistillationParams(**overrides["distillation"])
        assert distillation.objective == settings.objective
        assert distillation.fusion == settings.fusion
        teacher = TeacherParams(**overrides["teacher"])
        assert (teacher.k, teacher.temperature) == (settings.k, settings.temperature)
        assert IndexingParams(**overrides["indexing"]).key_kind == settings.key_kind


def test_only_what_the_domain_has_is_tried():
    space = space_around(DEFAULT, longest=24, by_channel=False, ks=[5])
    assert space.choices["block"] == (12, 24)
    assert space.choices["groups"] == ("channel",)
    assert space.choices["k"] == (5, 20)
    assert space.choices["max_volatility"] == (None,)


def test_ratios_count_where_the_default_is_not_zero():
    log = Range(0.1, 10, log=True)
    assert log.around(20) == Range(0.1, 20, log=True)
    assert log.around(0.01) == Range(0.01, 10, log=True)
    assert log.around(0) == Range(0.0, 10, log=False)
    assert Range(0, 1).around(0.5) == Range(0, 1)


def test_the_space_can_be_told_from_another():
    text = json.dumps(space_around(DEFAULT).to_json())
    assert text != json.dumps(space_around(DEFAULT, ks=[5]).to_json())


def test_numbers_keep_three_digits():
    assert round_off(0.123456) == 0.123
    assert round_off(1234.5) == 1230.0
    assert round_off(0.0) == 0.0


def test_the_teachers_settings_are_read_from_its_parameters():
    params = TeacherParams(k=40, rerank_pool=60, alignment="affine", embargo="causal")
    found = TeacherSettings.read(params.model_dump())
    assert (found.k, found.embargo, found.shard_size) == (40, "causal", params.shard_size)
    assert found.calibration == CalibrationSettings(**params.calibration.model_dump())
    assert found.rerank.pool == 60
    assert found.rerank.alignment == "affine"
    assert TeacherSettings().rerank is None
    assert TeacherSettings.read(TeacherParams().model_dump()) == TeacherSettings()
