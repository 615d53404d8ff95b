import dataclasses

import numpy as np
import pandas as pd
import pytest

from tsmemory.errors import UserError
from tsmemory.pipelines.ingestion.params import IngestionParams
from tsmemory.pipelines.pretraining import create_pipeline
from tsmemory.pipelines.pretraining.nodes import collect_check_windows
from tsmemory.pipelines.pretraining.params import (
    CheckParams,
    CorpusParams,
    FamilyShares,
    PretrainingParams,
)
from tsmemory.series.reading import read_raw


def test_wiring():
    pipeline = create_pipeline()
    assert {node.short_name: node.outputs for node in pipeline.nodes} == {
        "collect_check_windows": ["check_windows"],
        "pretrain_backbone": ["pretrained_weights", "pretraining_curve"],
        "score_zero_shot": ["zero_shot_scores"],
        "export_backbone": ["pretrained_backbone"],
        "plot_pretraining": ["pretraining_plot"],
    }
    assert pipeline.inputs() == {
        "raw_table",
        "pretraining_checkpoints",
        "params:ingestion",
        "params:pretraining",
    }


def test_weights_do_not_depend_on_the_domain(configure):
    """What they are made from is the recipe alone; data enter by the checks, which only look."""
    training = create_pipeline().only_nodes("pretraining.pretrain_backbone")
    assert training.inputs() == {"check_windows", "pretraining_checkpoints", "params:pretraining"}


def test_defaults_are_those_of_the_model(defaults):
    assert PretrainingParams(**defaults["pretraining"]) == PretrainingParams()


def test_defaults_are_those_of_the_corpus():
    """In its order, too, which decides what is drawn."""
    from tsmemory.pretraining.corpus import CorpusConfig

    made, own = CorpusParams().config(720), CorpusConfig()
    assert made == own
    for name in ("families", "contexts"):
        assert list(getattr(made, name).items()) == list(getattr(own, name).items())
    fields = {field.name for field in dataclasses.fields(CorpusConfig)} - {"horizon"}
    assert set(CorpusParams.model_fields) - {"context_shares"} == fields
    assert list(FamilyShares.model_fields) == list(own.families)


def test_shares_of_nothing_leave_out():
    params = CorpusParams(
        families={"calendar": 0.0, "machines": 2.0}, contexts="64 32 16", context_shares="1 0 .5"
    )
    made = params.config(24)
    assert "calendar" not in made.families
    assert made.families["machines"] == 2
    assert made.contexts == {64: 1.0, 16: 0.5}
    assert made.horizon == 24


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"corpus": {"families": {"calender": 1}}}, "did you mean pretraining.corpus.families.cal"),
        ({"corpus": {"families": {"counts": -1}}}, "pretraining.corpus.families.counts = -1: "),
        ({"corpus": {"mixed": 1.5}}, "pretraining.corpus.mixed = 1.5: "),
        (
            {"corpus": {"chunk": 1000}},
            "corpus.chunk must be a multiple of training.batch, got 1000",
        ),
        ({"corpus": {"contexts": [512, 256]}}, "contexts and context_shares must have one length"),
        ({"corpus": {"contexts": [8, 8, 8, 8, 8]}}, "a context length is named twice"),
        (
            {"corpus": {"contexts": [4096, 1024, 512, 256, 128]}},
            "contexts of 4096 steps are longer than model.context_length, 2048",
        ),
        (
            {"corpus": {"contexts": [2048, 1024, 512, 256, 100]}},
            "contexts must be multiples of model.patch_length, 64",
        ),
        ({"model": {"heads": 3}}, "pretraining.model: width must be a multiple of heads"),
        ({"model": {"layers": 3}}, "pretraining.model.layers: unknown parameter; "),
        ({"model": {"horizon": 48}}, "checks reach 96 steps"),
        ({"optimizer": {"kind": "sgd"}}, "pretraining.optimizer.kind = 'sgd': "),
        ({"optimizer": {"decay": 2}}, "pretraining.optimizer: decay must lie in [0, 1]"),
        ({"training": {"batch": 100}}, "corpus.chunk must be a multiple of training.batch"),
        ({"optimizer": {"base_batch": 0}}, "base_batch must be above 0"),
        ({"training": {"accumulate": 300}}, "a batch of 256 windows is too small for accumulate"),
        ({"training": {"devices": 0}}, "pretraining.training: devices must be above 0"),
        (
            {"training": {"communication": {"reduce": "ring"}}},
            "pretraining.training.communication.reduce = 'ring': ",
        ),
        (
            {"training": {"communication": {"group": 2}}},
            "pretraining.training.communication.group: unknown parameter",
        ),
        ({"training": {"precision": "fp16"}}, "pretraining.training.precision = 'fp16': "),
        ({"training": {"device": "tpu"}}, "device must be cpu, cuda"),
        ({"training": {"stepz": 9}}, "did you mean pretraining.training.steps?"),
        ({"zero_shot": {"horizon": 721}}, "checks reach 721 steps"),
        ({"zero_shot": {"windows": 0}}, "pretraining.zero_shot.windows = 0: "),
        ({"checks": [{"path": "a.csv", "horizon": 800}]}, "checks reach 800 steps"),
        ({"checks": [{"timestamp_column": "date"}]}, "pretraining.checks.0.path: "),
        ({"checks": [{"path": "a.csv", "name": "a b"}]}, "pretraining.checks.0.name = 'a b': "),
        ({"export_dtype": "int8"}, "pretraining.export_dtype = 'int8': "),
        ({"name": ""}, "pretraining.name = '': "),
    ],
)
def test_nonsense_is_refused(refusal, params, said):
    assert said in refusal(pretraining=params)


@pytest.fixture
def table(tmp_path):
    """An hourly file of one series, long enough for 64 + 16 steps of validation."""
    rng = np.random.default_rng(0)
    stamps = pd.date_range("2020-01-01", periods=600, freq="h")
    path = tmp_path / "own data.csv"
    pd.DataFrame({"date": stamps, "load": rng.normal(size=600)}).to_csv(path, index=False)
    return path


def params_for(*checks):
    return PretrainingParams(
        zero_shot={"context_length": 64, "horizon": 16, "windows": 50}, checks=checks
    )


def test_further_tables_have_settings_of_their_own(table):
    check = {"path": str(table), "timestamp_column": "date", "name": "own", "horizon": 8}
    ingestion = IngestionParams(path=str(table))
    checks = collect_check_windows(read_raw(table), ingestion, params_for(check)).checks
    assert [(c.name, c.horizon, c.contexts.shape[1]) for c in checks] == [
        ("own data", 16, 64),
        ("own", 8, 64),
    ]
    borders = (300, 350, 400)
    fixed = CheckParams(**check, borders=borders, context_length=32).model_dump()
    checks = collect_check_windows(read_raw(table), ingestion, params_for(fixed)).checks
    assert checks[1].contexts.shape == (50 - 8 + 1, 32)


def test_missing_tables_and_columns_are_named(table, tmp_path):
    ingestion = IngestionParams(path=str(table))
    raw = read_raw(table)
    with pytest.raises(UserError, match=r"gone\.csv: no such file"):
        collect_check_windows(raw, ingestion, params_for({"path": str(tmp_path / "gone.csv")}))
    wrong = {"path": str(table), "timestamp_column": "when", "name": "own"}
    with pytest.raises(UserError, match=r"own data\.csv: no column 'when'") as error:
        collect_check_windows(raw, ingestion, params_for(wrong))
    assert str(error.value).count("own data.csv") == 1
    with pytest.raises(UserError, match="two checks have one name"):
        collect_check_windows(raw, ingestion, params_for({"path": str(table)}))


def test_tables_count_by_their_content(table, tmp_path):
    params = params_for({"path": str(table)})
    before = params.content_fingerprint()
    assert before == params_for({"path": str(table), "name": "other"}).content_fingerprint()
    table.write_text(table.read_text() + "2020-02-01,1\n")
    assert params.content_fingerprint() != before
    assert params_for().content_fingerprint() is not None
    gone = {"path": str(tmp_path / "gone.csv")}
    assert params_for(gone).content_fingerprint() is None
    source = {"url": "https://example.org/gone.csv", "sha256": "0" * 64}
    fetched = params_for({**gone, "source": source, "download": True})
    assert fetched.content_fingerprint() is not None
