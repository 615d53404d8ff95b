import time

import pytest

from tsmemory.backbones import BackboneError, load_backbone
from tsmemory.backbones.registry import _KINDS, BUNDLED, backbone_fingerprint, register_backbone
from tsmemory.backbones.weights import find_local_weights, find_weights, weights_fingerprint

PROXY = ("proxy.example", 3128)


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No network, and an empty cache."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("socket.create_connection", _refuse)
    return tmp_path / "cache"


def _refuse(*_args, **_kwargs):
    raise AssertionError("a test must not open a connection")


def snapshot(cache, *files):
    """A cached revision of the hub id ``owner/model``."""
    base = cache / "models--owner--model"
    folder = base / "snapshots" / "abc"
    folder.mkdir(parents=True)
    (base / "refs").mkdir()
    (base / "refs" / "main").write_text("abc")
    for name in files:
        (folder / name).write_text("{}")
    return folder


def test_a_folder_is_used_as_it_is(tiny_bolt):
    assert find_weights(tiny_bolt) == tiny_bolt


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_folder_without_a_file_says_which(tmp_path, name):
    other = {"config.json", "model.safetensors"} - {name}
    (tmp_path / other.pop()).write_text("{}")
    with pytest.raises(BackboneError, match=f"lacks {name}"):
        find_weights(tmp_path)


@pytest.mark.parametrize("name", ["./nowhere/weights", "/no/where", "chronos", "a/b/c"])
def test_what_is_neither_folder_nor_hub_id(name):
    with pytest.raises(BackboneError, match="neither a known name, a local folder nor a hub id"):
        load_backbone(name)


def test_weights_in_several_files_are_refused_with_a_way_out(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(BackboneError, match=r"several files or in pytorch_model.*max_shard_size"):
        find_weights(tmp_path)


@pytest.mark.usefixtures("offline")
def test_a_pinned_revision_is_part_of_the_way_out():
    with pytest.raises(BackboneError, match=r"model\.safetensors --revision v2 --local-dir model"):
        load_backbone("owner/model", revision="v2")


@pytest.mark.usefixtures("offline")
def test_without_network_it_fails_at_once_and_says_what_to_do():
    begin = time.perf_counter()
    with pytest.raises(BackboneError, match=r"hf download owner/model config\.json") as caught:
        find_weights("owner/model")
    assert "--local-dir model`" in str(caught.value)  # so that its name is kept
    assert time.perf_counter() - begin < 10  # retries would take minutes


def test_the_cache_is_enough(offline):
    folder = snapshot(offline, "config.json", "model.safetensors")
    assert find_weights("owner/model") == folder


def test_a_revision_is_that_revision(offline):
    folder = snapshot(offline, "config.json", "model.safetensors")
    (folder.parents[1] / "refs" / "v2").write_text("def")
    assert find_weights("owner/model", "main") == folder
    assert find_local_weights("owner/model", "v2") is None
    with pytest.raises(BackboneError, match="not in the local cache"):
        find_weights("owner/model", "v2")


def test_an_interrupted_download_is_not_taken_for_the_model(offline):
    snapshot(offline, "config.json")
    with pytest.raises(BackboneError, match="not in the local cache"):
        find_weights("owner/model")


def test_an_unreachable_hub_is_said_without_retries(offline, monkeypatch):
    def unreachable(*_args, **_kwargs):
        raise OSError("no route")

    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr("socket.create_connection", unreachable)
    with pytest.raises(BackboneError, match="hub cannot be reached"):
        find_weights("owner/model")


@pytest.mark.parametrize(
    ("environment", "endpoint", "expected"),
    [
        ({}, "https://huggingface.co", ("huggingface.co", 443)),
        ({}, "http://mirror.example:8080", ("mirror.example", 8080)),
        ({"https_proxy": "http://proxy.example:3128"}, "https://hub.example", PROXY),
        ({"https_proxy": "proxy.example:3128"}, "https://hub.example", PROXY),
        (
            {"https_proxy": "http://proxy.example:3128", "no_proxy": "mirror.example"},
            "https://mirror.example",
            ("mirror.example", 443),
        ),
    ],
)
def test_it_knocks_where_the_hub_is_said_to_be(
    offline, monkeypatch, environment, endpoint, expected
):
    knocked = []

    def unreachable(address, **_kwargs):
        knocked.append(address)
        raise OSError("no route")

    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)
    monkeypatch.setattr("socket.create_connection", unreachable)
    with pytest.raises(BackboneError, match="hub cannot be reached"):
        find_weights("owner/model")
    assert knocked == [expected]


def test_a_failed_download_is_reported(offline, monkeypatch):
    class Connection:
        def close(self):
            pass

    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr("socket.create_connection", lambda *_args, **_kwargs: Connection())
    # The library itself still believes that it is offline, and refuses.
    with pytest.raises(BackboneError, match="could not be downloaded"):
        find_weights("owner/model")


def test_local_weights_are_found_without_a_network(offline, tmp_path, tiny_bolt):
    assert find_local_weights(tiny_bolt) == tiny_bolt
    assert find_local_weights("owner/model") is None
    assert find_local_weights("no id") is None
    (tmp_path / "half").mkdir()
    assert find_local_weights(tmp_path / "half") is None
    folder = snapshot(offline, "config.json", "model.safetensors")
    assert find_local_weights("owner/model") == folder


def test_weights_count_by_content(tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_text("{}")
    before = backbone_fingerprint(str(tmp_path))
    assert before == weights_fingerprint(tmp_path)
    (tmp_path / "model.safetensors").write_text("[]")
    assert backbone_fingerprint(str(tmp_path)) != before
    assert backbone_fingerprint(str(tmp_path / "nowhere")) is None


def test_every_name_stands_for_some_weights(monkeypatch):
    assert backbone_fingerprint("bundled") == weights_fingerprint(BUNDLED)
    assert backbone_fingerprint("seasonal_naive") == "seasonal_naive"
    assert backbone_fingerprint("some.name", kind="seasonal_naive") == "seasonal_naive"
    monkeypatch.setattr("tsmemory.backbones.registry._KINDS", dict(_KINDS))
    register_backbone("of_their_own", lambda **_: None)
    assert backbone_fingerprint("of_their_own") is None
    register_backbone("by_date", lambda **_: None, lambda name, revision: f"{name}@{revision}")
    assert backbone_fingerprint("x", "v1", kind="by_date") == "x@v1"
