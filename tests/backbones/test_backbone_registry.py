import pytest

from tsmemory.backbones import BackboneError, backbone_kinds, load_backbone, register_backbone
from tsmemory.backbones.registry import _LOADERS


def test_known_kinds():
    assert backbone_kinds() == ("chronos_bolt", "seasonal_naive")


def test_unknown_kind_names_the_known_ones(tiny_bolt):
    with pytest.raises(BackboneError, match="'prophet'; known: chronos_bolt, seasonal_naive"):
        load_backbone(tiny_bolt, kind="prophet")


def test_a_kind_of_ones_own(monkeypatch):
    monkeypatch.setattr("tsmemory.backbones.registry._LOADERS", dict(_LOADERS))
    register_backbone("mine", lambda source, **options: (source, options))
    assert load_backbone("somewhere", kind="mine", device="cpu") == ("somewhere", {"device": "cpu"})
    assert load_backbone("mine") == ("mine", {})


def test_the_season_reaches_the_seasonal_naive_backbone():
    assert load_backbone("seasonal_naive", season=7).season == 7
    assert load_backbone("seasonal_naive").season == 24
