"""The model card, and pushing to and pulling from the hub: with a hub that is a folder."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
import yaml
from forecasters import FULL, IDLE, H, make_adapter, make_contexts, make_forecaster
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from tsmemory import MemoryForecaster, load_backbone
from tsmemory.memory import hub as hub_module
from tsmemory.memory.card import MARK
from tsmemory.memory.errors import ForecasterError


class FolderHub:
    """What the forecaster needs of the hub, kept in folders."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.created, self.refuses = folder, {}, False

    def api(self, token=None):
        return SimpleNamespace(
            create_repo=lambda repo_id, **about: self.created.update({repo_id: (token, about)}),
            upload_folder=self.upload,
        )

    def upload(self, *, repo_id, folder_path, commit_message):
        if self.refuses:
            raise HfHubHTTPError(
                "403 Forbidden", response=SimpleNamespace(headers={}, request=None)
            )
        shutil.copytree(folder_path, self.folder / repo_id, dirs_exist_ok=True)
        return SimpleNamespace(commit_url=f"hub://{repo_id}: {commit_message}")

    def download(self, repo_id, *, revision=None, **_):
        place = self.folder / repo_id
        if not place.is_dir() or revision not in (None, "main"):
            raise LocalEntryNotFoundError(f"{repo_id} at {revision}")
        return str(place)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    made = FolderHub(tmp_path / "hub")
    monkeypatch.setattr(huggingface_hub, "HfApi", made.api)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", made.download)
    monkeypatch.setattr(hub_module, "hub_is_reachable", lambda: True)
    return made


def read_card(folder):
    """The hub's metadata and the text of a card."""
    _, head, text = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(head), text


def test_what_is_pushed_can_be_pulled(hub):
    forecaster, contexts = make_forecaster(FULL), make_contexts()
    address = forecaster.push_to_hub("me/weather", private=True, token="t", commit_message="first")
    assert address == "hub://me/weather: first"
    assert hub.created == {"me/weather": ("t", {"private": True, "exist_ok": True})}
    names = sorted(path.name for path in (hub.folder / "me/weather").iterdir())
    assert names == ["README.md", "config.json", "model.safetensors"]
    loaded = MemoryForecaster.from_pretrained("me/weather", revision="main")
    one, other = (f.predict_quantiles(contexts)[0] for f in (forecaster, loaded))
    assert one.equal(other)


def test_a_refusal_says_what_to_do(hub):
    hub.refuses = True
    with pytest.raises(ForecasterError, match=r"'me/weather'.*403.*hf auth login.*token="):
        make_forecaster().push_to_hub("me/weather")


@pytest.mark.parametrize("repo_id", ["weather", "a/b/c", "./folder", "/srv/x"])
def test_what_is_no_hub_id_is_refused(hub, repo_id):
    with pytest.raises(ForecasterError, match="is no hub id; give owner/name"):
        make_forecaster().push_to_hub(repo_id)
    assert not hub.created


def test_without_a_network_it_says_so_at_once(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ForecasterError, match=r"cannot be reached.*hf upload me/weather"):
        make_forecaster().push_to_hub("me/weather")


def test_the_card_tells_people_and_the_hub_what_it_is(tmp_path):
    forecaster = make_forecaster(FULL)
    forecaster.save_pretrained(tmp_path)
    head, text = read_card(tmp_path)
    assert head["library_name"] == "tsmemory"
    assert head["pipeline_tag"] == "time-series-forecasting"
    assert "base_model" not in head  # the bundled backbone has no hub id
    assert "# Memory of sample on " in text
    assert f"prediction_length={H}" in text
    assert forecaster.fusion.describe() in text
    assert forecaster.backbone.fingerprint in text
    assert "- series: 2, columns y" in text
    table = [line for line in text.splitlines() if line.startswith("| ")]
    assert table[0].startswith("| first step | last step | decision | skill | backbone | memory")
    assert table[1].startswith("| 1 | 24 | fused |  | 0.100 | 0.500 |")
    assert len(table) == 3


def test_the_card_of_an_idle_memory_says_that_the_backbone_stands_alone(tmp_path):
    make_forecaster(IDLE).save_pretrained(tmp_path)
    _, text = read_card(tmp_path)
    assert "the frozen backbone alone at all steps" in text
    assert "| 1 | 24 | frozen |" in text


@pytest.mark.parametrize(
    ("source", "base"),
    [
        ("amazon/chronos-bolt-small", "amazon/chronos-bolt-small"),
        ("data/06_models/x", None),
        ("mine/forecasts.parquet", None),
    ],
)
def test_a_backbone_on_the_hub_is_named_as_the_base(hub, tmp_path, caplog, source, base):
    naive = load_backbone("seasonal_naive")
    forecaster = MemoryForecaster(
        naive,
        make_adapter(naive),
        IDLE,
        make_forecaster().series,
        backbone_source=source,
        domain=None,
    )
    forecaster.save_pretrained(tmp_path)
    head, text = read_card(tmp_path)
    assert head.get("base_model") == base
    assert ("a folder or file of whoever made this" in text) == (base is None)
    forecaster.push_to_hub("me/weather")
    assert ("lies on this machine alone" in caplog.text) == (base is None)


def test_a_card_that_was_rewritten_is_kept(tmp_path):
    forecaster = make_forecaster()
    forecaster.save_pretrained(tmp_path)
    card = tmp_path / "README.md"
    ours = card.read_text(encoding="utf-8")
    card.write_text("old words\n" + MARK, encoding="utf-8")
    forecaster.save_pretrained(tmp_path)
    assert card.read_text(encoding="utf-8") == ours
    card.write_text("my own words", encoding="utf-8")
    forecaster.save_pretrained(tmp_path)
    assert card.read_text(encoding="utf-8") == "my own words"
