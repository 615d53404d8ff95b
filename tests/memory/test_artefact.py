import json
import shutil

import pytest
import torch
from forecasters import (
    ELSEWHERE,
    IDLE,
    OPEN,
    H,
    bundled,
    make_adapter,
    make_contexts,
    make_forecaster,
)
from kedro.io.core import Version

import tsmemory
from tsmemory import MemoryForecaster, load_backbone
from tsmemory.backbones.registry import BUNDLED
from tsmemory.io import FolderDataset
from tsmemory.memory.errors import ForecasterError

FILES = ["README.md", "config.json", "model.safetensors"]


@pytest.fixture(scope="module")
def forecaster():
    return make_forecaster()


@pytest.fixture(scope="module")
def backbone():
    return bundled()


@pytest.fixture(scope="module")
def contexts():
    return make_contexts()


@pytest.fixture
def saved(forecaster, tmp_path):
    forecaster.save_pretrained(tmp_path / "forecaster")
    return tmp_path / "forecaster"


def test_round_trip_gives_identical_forecasts(forecaster, saved, contexts):
    loaded = MemoryForecaster.from_pretrained(saved)
    for one, other in zip(
        forecaster.predict_quantiles(contexts, 130),
        loaded.predict_quantiles(contexts, 130),
        strict=True,
    ):
        assert torch.equal(one, other)
    assert loaded.summary() == forecaster.summary()
    assert loaded.fusion == forecaster.fusion
    assert sorted(path.name for path in saved.iterdir()) == FILES


def test_the_same_forecaster_is_saved_as_the_same_bytes(saved, tmp_path):
    again = tmp_path / "again"
    MemoryForecaster.from_pretrained(str(saved)).save_pretrained(str(again))
    for name in FILES:
        assert (again / name).read_bytes() == (saved / name).read_bytes()


def test_config_says_what_the_forecaster_is(saved, backbone):
    config = json.loads((saved / "config.json").read_text())
    assert config["format_version"] == 3
    assert config["tsmemory_version"] == tsmemory.__version__
    assert config["domain"] == "sample"
    assert config["backbone"] == {
        "source": "bundled",
        "options": {},
        "name": backbone.name,
        "fingerprint": backbone.fingerprint,
        "quantile_levels": list(backbone.quantile_levels),
        "native_horizon": backbone.native_horizon,
    }
    assert config["fusion"] == OPEN.to_json()
    assert config["adapter"]["horizon"] == H
    assert config["series"] == {
        "item_id": ["one", "two"],
        "channel": ["y", "y"],
        "mean": [20.0, -3.0],
        "std": [4.0, 2.0],
        "typical_scale": 0.8,
        "freq": None,
    }


def test_backbone_options_are_kept(tmp_path, contexts):
    naive = load_backbone("seasonal_naive", season=12)
    forecaster = MemoryForecaster(
        naive,
        make_adapter(naive),
        OPEN,
        ELSEWHERE,
        backbone_source="seasonal_naive",
        backbone_options={"season": 12},
        domain=None,
    )
    forecaster.save_pretrained(tmp_path)
    loaded = MemoryForecaster.from_pretrained(tmp_path)
    assert loaded.backbone.fingerprint == naive.fingerprint
    assert torch.equal(
        loaded.predict_quantiles(contexts)[0], forecaster.predict_quantiles(contexts)[0]
    )


def test_a_backbone_may_be_given_as_object_or_folder(saved, backbone, tmp_path):
    assert MemoryForecaster.from_pretrained(saved, backbone=backbone).backbone is backbone
    shutil.copytree(BUNDLED, tmp_path / "elsewhere")
    loaded = MemoryForecaster.from_pretrained(saved, backbone=tmp_path / "elsewhere")
    assert loaded.backbone_source == str(tmp_path / "elsewhere")


def test_another_backbone_is_refused_with_both_fingerprints(saved, backbone):
    other = load_backbone("seasonal_naive", season=24)
    with pytest.raises(ForecasterError, match=f"{backbone.fingerprint}.*{other.fingerprint}"):
        MemoryForecaster.from_pretrained(saved, backbone=other)


def test_a_backbone_that_is_gone_is_named(backbone, tmp_path):
    adapter = make_adapter(backbone)
    forecaster = MemoryForecaster(
        backbone, adapter, OPEN, ELSEWHERE, backbone_source="no/such/folder", domain=None
    )
    forecaster.save_pretrained(tmp_path)
    with pytest.raises(ForecasterError, match=r"'no/such/folder' cannot be loaded.*backbone="):
        MemoryForecaster.from_pretrained(tmp_path)


def cut(path):
    path.write_bytes(path.read_bytes()[:-10])


def flip(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def edit(**changes):
    def change(path):
        config = json.loads(path.read_text())
        path.write_text(json.dumps({**config, **changes}))

    return change


@pytest.mark.parametrize(
    ("name", "tamper", "message"),
    [
        ("model.safetensors", cut, "truncated or was changed .* checksum"),
        ("model.safetensors", flip, "truncated or was changed .* checksum"),
        ("model.safetensors", lambda path: path.unlink(), "lacks model.safetensors"),
        ("config.json", lambda path: path.unlink(), "lacks config.json"),
        ("config.json", cut, "config.json cannot be read"),
        ("config.json", edit(format_version=4), "format version 4 .*reads versions? 3;"),
        ("config.json", edit(format_version=2), "format version 2 .*reads versions? 3;"),
        ("config.json", edit(domain="other"), "was changed after it was saved"),
        ("config.json", lambda path: path.write_text("{}"), "does not describe a forecaster"),
    ],
)
def test_tampered_files_are_refused(saved, name, tamper, message):
    tamper(saved / name)
    with pytest.raises(ForecasterError, match=message):
        MemoryForecaster.from_pretrained(saved)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ForecasterError, match=r"forecaster '.*absent' is neither"):
        MemoryForecaster.from_pretrained(tmp_path / "absent")


def test_a_hub_id_without_network_says_how_to_place_it(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ForecasterError, match="forecaster 'me/no-such' is not in the local cache"):
        MemoryForecaster.from_pretrained("me/no-such")


def test_a_versioned_folder_means_its_latest_version(forecaster, backbone, tmp_path, contexts):
    folder = tmp_path / "forecaster"
    kind = "tsmemory.MemoryForecaster"
    for version, model in [
        ("2024-01-02T00.00.00.000Z", forecaster),
        ("2024-01-01T00.00.00.000Z", make_forecaster(IDLE)),
    ]:
        dataset = FolderDataset(filepath=str(folder), kind=kind, version=Version(version, version))
        dataset.save(model)
        assert dataset.load().fusion == model.fusion
    assert MemoryForecaster.from_pretrained(folder).fusion == OPEN


def test_saving_again_replaces_what_was_there(forecaster, backbone, saved):
    make_forecaster(IDLE, seed=3).save_pretrained(saved)
    assert MemoryForecaster.from_pretrained(saved).fusion.is_idle
    assert sorted(path.name for path in saved.iterdir()) == FILES


def test_summary_is_json(forecaster):
    summary = json.loads(json.dumps(forecaster.summary()))
    assert summary["domain"] == "sample"
    assert summary["idle"] is False
    assert summary["adapter"]["horizon"] == H
