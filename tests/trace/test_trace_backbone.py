import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from workshop import SMALL, small_bench

from builders import save_tiny_bolt
from tsmemory.backbones import BackboneError, backbone_kinds, load_backbone
from tsmemory.backbones.registry import backbone_fingerprint
from tsmemory.trace.arms import run_arm
from tsmemory.trace.artefact import load_trace, save_trace
from tsmemory.trace.errors import TraceError
from tsmemory.trace.gates import GatedLora
from tsmemory.trace.sites import lora_sites


@pytest.fixture(scope="module")
def adapted(tiny_base):
    """A model that training has changed for sure."""
    bench = small_bench(tiny_base)
    model = bench.model(SMALL.head)
    net = model.encoder.model
    model.lora = GatedLora.attach(net, lora_sites(net), rank=2, alpha=1.0, seed=0)
    for name in model.lora.names:
        model.lora.pair(name)[1].data.fill_(0.1)
    model.lora.close(model.lora.names[::2])
    model.lora.merge()
    return model.requires_grad_(False)


@pytest.fixture(scope="module")
def folder(adapted, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapted") / "trace"
    save_trace(adapted, folder)
    return folder


@pytest.fixture(scope="module")
def contexts(bench):
    return bench.windows.selection.take(slice(0, 6)).contexts(bench.series)


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def test_what_is_loaded_forecasts_what_was_saved(folder, adapted, contexts):
    np.testing.assert_array_equal(load_trace(folder).predict(contexts), adapted.predict(contexts))


def test_a_folder_is_a_backbone(folder, adapted, contexts, tiny_base):
    backbone = load_backbone(folder)
    plain = load_backbone(tiny_base)
    keys, quantiles = backbone.encode_and_predict(contexts, 8)
    np.testing.assert_array_equal(quantiles, adapted.predict(contexts))
    np.testing.assert_array_equal(backbone.predict_quantiles(contexts, 4), quantiles[:, :, :4])
    np.testing.assert_array_equal(backbone.embed(contexts), keys)
    assert keys.shape == plain.embed(contexts).shape
    assert not np.allclose(keys, plain.embed(contexts))
    assert backbone.predict_quantiles(contexts, 20).shape == (6, 9, 20)
    assert backbone.name == f"{plain.name} + TRACE"
    assert backbone.licence == plain.licence
    assert backbone.native_horizon == 8
    assert backbone.quantile_levels == plain.quantile_levels
    assert load_backbone(folder, quantile_levels=(0.25, 0.5)).quantile_levels == (0.25, 0.5)


def test_the_embedding_is_the_backbones_own_token(bench, tmp_path, contexts, tiny_base):
    untouched = tmp_path / "untouched"
    save_trace(bench.model(SMALL.head), untouched)
    found, wanted = (load_backbone(name).embed(contexts) for name in (untouched, tiny_base))
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_fingerprints_are_told_without_loading(folder, tiny_base):
    assert load_backbone(folder).fingerprint == backbone_fingerprint(str(folder))
    assert load_backbone(folder).fingerprint == backbone_fingerprint(str(folder), kind="trace")
    assert load_backbone(folder).fingerprint != load_backbone(tiny_base).fingerprint


def test_the_folder_holds_no_weight_of_the_backbone(folder, adapted):
    about = json.loads((folder / "config.json").read_text())
    kept = sum(weight.numel() for weight in adapted.lora.matrices())
    head = sum(tensor.numel() for tensor in adapted.head.state_dict().values())
    gates = len(adapted.lora.open_names)
    size = (folder / "model.safetensors").stat().st_size
    assert 4 * (kept + head + gates) <= size < 4 * (kept + head + gates) + 8192
    assert set(about["lora"]["ranks"]) == set(adapted.lora.open_names)


def test_the_kind_is_known_before_anything_heavy_is_imported():
    assert "trace" in backbone_kinds()
    code = (
        "import sys, tsmemory.backbones as b; assert 'trace' in b.backbone_kinds(); "
        "print({'torch', 'peft', 'tsmemory.trace.backbone'} & set(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "set()"


def test_a_trained_row_is_saved(bench, tmp_path, contexts):
    run = run_arm(bench, "trace", 0)
    save_trace(run.model, tmp_path / "row")
    np.testing.assert_array_equal(
        load_trace(tmp_path / "row").predict(contexts), run.model.predict(contexts)
    )


def test_rows_that_change_the_backbone_itself_are_not_saved(bench, tmp_path):
    run = run_arm(bench, "full", 0)
    run.model.encoder_trained = True
    with pytest.raises(TraceError, match="only head and gated LoRA can be saved"):
        save_trace(run.model, tmp_path / "full")
    assert not (tmp_path / "full").exists()


def test_another_backbone_is_refused_with_both_fingerprints(folder, tmp_path):
    other = save_tiny_bolt(tmp_path / "other", seed=1)
    found = backbone_fingerprint(str(other))
    with pytest.raises(BackboneError, match=f"made from 'base' with fingerprint .* {found}"):
        load_backbone(folder, base=other)


def test_a_backbone_that_has_gone_is_named(adapted, tmp_path, tiny_base, contexts):
    moved = shutil.copytree(tiny_base, tmp_path / "base")
    model = load_trace_from(adapted, moved, tmp_path / "adapted")
    shutil.rmtree(moved)
    with pytest.raises(BackboneError, match=r"cannot be loaded: .* option base="):
        load_backbone(tmp_path / "adapted")
    again = load_backbone(tmp_path / "adapted", base=tiny_base)
    np.testing.assert_array_equal(again.predict_quantiles(contexts, 8), model.predict(contexts))


def load_trace_from(adapted, base, folder):
    """Save a model as if its backbone lay elsewhere."""
    here = adapted.base
    adapted.base = replace(here, source=str(base))
    save_trace(adapted, folder)
    adapted.base = here
    return load_trace(folder)


def test_a_changed_configuration_is_refused(copy):
    path = copy / "config.json"
    path.write_text(path.read_text().replace('"horizon": 8', '"horizon": 4'))
    with pytest.raises(BackboneError, match="was changed after it was saved"):
        load_backbone(copy)


def test_truncated_weights_are_refused(copy):
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(BackboneError, match="truncated or was changed"):
        load_backbone(copy)


def test_another_format_is_refused(copy):
    path = copy / "config.json"
    path.write_text(path.read_text().replace('"format_version": 1', '"format_version": 9'))
    with pytest.raises(BackboneError, match="format version 9"):
        load_backbone(copy)


def test_another_kind_of_folder_is_refused(tiny_base):
    with pytest.raises(BackboneError, match="does not describe an adapted backbone"):
        load_backbone(tiny_base, kind="trace")


def test_an_adapted_backbone_is_not_adapted_again(folder, tmp_path):
    from tsmemory.trace.base import load_base

    with pytest.raises(TraceError, match="cannot be adapted"):
        load_base(folder)
    with pytest.raises(TraceError, match="seasonal_naive"):
        load_base("seasonal_naive")
