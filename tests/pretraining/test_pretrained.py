"""The folder that pretraining makes, its card, and loss curves beside each other."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from tsmemory.backbones import load_backbone
from tsmemory.backbones.protocol import BackboneError
from tsmemory.pretraining.card import write_card
from tsmemory.pretraining.curve import check_columns, compare_curves, held_out_loss, read_curves
from tsmemory.pretraining.display import duration
from tsmemory.pretraining.errors import PretrainingError
from tsmemory.pretraining.hardware import describe_hardware, describe_versions
from tsmemory.pretraining.model import count_parameters
from tsmemory.pretraining.pretrained import PretrainedBackbone, TrainingRecord


@pytest.fixture(scope="module")
def trained(recipe, tmp_path_factory):
    trainer = recipe.trainer(
        tmp_path_factory.mktemp("run"), checks={"sample": lambda _: {"mse": 0.5, "mae": 0.25}}
    )
    model = trainer.fit()
    made = PretrainedBackbone(model, "tiny", TrainingRecord.of(trainer))
    return made, pd.DataFrame(trainer.curve)


@pytest.fixture
def scores():
    about = {"check": "sample", "windows": 1200, "context_length": 64, "horizon": 16}
    values = {"mse": 0.5, "mae": 0.25, "mase": float("nan"), "wql": 0.125}
    return pd.DataFrame(
        [
            {**about, "method": "pretrained", **values},
            {**about, "method": "seasonal_naive", **values, "mse": 0.75},
        ]
    )


def test_the_record_tells_how_it_came_about(trained, recipe):
    record = trained[0].record
    assert (record.steps, record.samples) == (12, 12 * 16)
    assert record.parameters == count_parameters(trained[0].model)
    assert record.seconds > 0
    assert record.hardware == describe_hardware("cpu")
    assert record.hardware.endswith("1 thread")
    assert record.versions["torch"] == torch.__version__
    assert {"python", "tsmemory", "transformers"} <= describe_versions().keys()
    assert record.recipe["model"]["width"] == recipe.model.width
    assert record.recipe["corpus"]["contexts"] == [[64, 0.6], [32, 0.4]]


def test_folders_are_backbones(trained, tmp_path):
    made = replace(trained[0], dtype="float16", card="# tiny\n")
    made.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "config.json",
        "model.safetensors",
        "training.json",
        "README.md",
    }
    backbone = load_backbone(tmp_path)
    assert (backbone.name, backbone.licence) == ("tiny", "Apache-2.0")
    assert backbone.pretraining_data.datasets == frozenset()
    assert backbone.pretraining_data.description == "synthetic series only"
    assert (backbone.context_length, backbone.native_horizon) == (64, 16)
    contexts = np.random.default_rng(0).normal(size=(3, 64)).astype(np.float32)
    assert np.isfinite(backbone.predict_quantiles(contexts, 16)).all()

    again = PretrainedBackbone.from_pretrained(tmp_path)
    assert again.record == made.record
    assert (again.name, again.dtype, again.card) == ("tiny", "float16", "# tiny\n")
    assert again.summary()["parameters"] == made.record.parameters
    json.dumps(again.summary())


def test_the_clock_is_no_part_of_the_fingerprint(trained, tmp_path):
    slow = replace(trained[0].record, seconds=1e6, hardware="abacus")
    prints = set()
    for number, record in enumerate((trained[0].record, slow)):
        (folder := tmp_path / str(number)).mkdir()
        replace(trained[0], record=record).save_pretrained(folder)
        prints.add(load_backbone(folder).fingerprint)
    assert len(prints) == 1


def test_other_models_are_refused(trained, tmp_path):
    trained[0].save_pretrained(tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())
    settings["chronos_pipeline_class"] = "Chronos2Pipeline"
    (tmp_path / "config.json").write_text(json.dumps(settings))
    with pytest.raises(BackboneError, match="kind chronos2"):
        PretrainedBackbone.from_pretrained(tmp_path)


def test_the_card_says_what_it_is(trained, scores, recipe):
    made, curve = trained
    text = write_card(made.record, "tiny bolt", "float16", curve, scores)
    assert text.startswith("# tiny bolt\n")
    assert "**No benchmark data, nor anything derived from such data, was used" in text
    assert "| parameters | 12,416 |" in text
    assert "| stored as | float16, 0.0 MB; computes in float32 |" in text
    for family in recipe.corpus.families:
        assert f"| `{family}` | " in text
    assert "| `calendar` | 46% | Human rhythms" in text
    assert "| `mixed` | 35% | Convex mixtures" in text
    assert "Context lengths: 32 (40%), 64 (60%). Targets have 16 steps." in text
    assert "| steps | 12 of 16 windows |" in text
    assert "| samples | 192 windows |" in text
    assert f"| hardware | {made.record.hardware} |" in text
    assert f"torch {torch.__version__}" in text
    last = curve.iloc[-1]
    assert f"| 12 | 192 | {last.train_loss:.4f} | {held_out_loss(curve).iloc[-1]:.4f} |" in text
    row = "| `sample` | 64 → 16 | 1,200 | this model | 0.5000 | 0.2500 | - | 0.1250 |"
    assert row in text
    assert "| seasonal naive | 0.7500 |" in text
    assert "no test split was read" in text
    assert "## Licence\n\nApache-2.0.\n" in text
    for line in text.splitlines():
        if line.startswith("|"):
            assert line.endswith(" |")


def test_long_curves_are_shortened_in_the_card(trained, scores):
    made, curve = trained
    long = pd.concat([curve.iloc[[0]]] * 101, ignore_index=True).assign(step=range(1, 102))
    text = write_card(made.record, "tiny", "float32", long, scores)
    points = [line for line in text.splitlines() if line.startswith("| ") and line[2].isdigit()]
    assert len(points) == 10
    assert points[-1].startswith("| 101 | ")


def test_curves_are_read_by_name_and_compared(trained, tmp_path):
    _, curve = trained
    (tmp_path / "small").mkdir()
    curve.to_csv(tmp_path / "small" / "loss_curve.csv", index=False)
    better = curve.assign(held_out_64=0.1, held_out_32=0.3, other_mse=9.0)
    better.to_csv(tmp_path / "large.csv", index=False)
    curves = read_curves([tmp_path / "small", tmp_path / "large.csv"])
    assert list(curves) == ["small", "large"]
    pd.testing.assert_frame_equal(curves["small"], curve)

    table = compare_curves(curves)
    assert table["run"].tolist() == ["large", "small"]
    assert table["held_out"][0] == pytest.approx(0.2)
    assert table["step"].tolist() == [12, 12]
    assert table["sample_mae"].tolist() == [0.25, 0.25]
    assert table["other_mse"].isna().tolist() == [False, True]
    assert check_columns(better, "mse") == {"sample": "sample_mse", "other": "other_mse"}


def test_what_is_no_loss_curve_is_refused(trained, tmp_path):
    with pytest.raises(PretrainingError, match=r"loss_curve\.csv: no such file"):
        read_curves([tmp_path])
    pd.DataFrame({"step": [1]}).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(PretrainingError, match="lacks samples, seconds, train_loss"):
        read_curves([tmp_path / "a.csv"])
    trained[1].to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(PretrainingError, match="two loss curves are called 'b'"):
        read_curves([tmp_path / "b.csv", tmp_path / "b.csv"])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (60, "1 min"), (3_540, "59 min"), (11_100, "3 h 05 min")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text
