import subprocess
import sys

import pytest

from tsmemory.backbones import BackboneError, backbone_kinds, load_backbone, register_backbone
from tsmemory.backbones.registry import _KINDS


def test_known_kinds():
    assert {"chronos_bolt", "chronos2", "timesfm", "seasonal_naive"} <= set(backbone_kinds())
    assert list(backbone_kinds()) == sorted(backbone_kinds())


def test_unknown_kind_names_the_known_ones(tiny_bolt):
    with pytest.raises(BackboneError, match=r"'prophet'; known: chronos2, chronos_bolt, .*timesfm"):
        load_backbone(tiny_bolt, kind="prophet")


def test_libraries_are_imported_with_the_first_model_only():
    code = (
        "import sys, tsmemory.backbones as b; b.load_backbone('seasonal_naive'); "
        "print({'torch', 'chronos', 'transformers'} & set(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "set()"


def test_a_kind_of_ones_own(monkeypatch):
    monkeypatch.setattr("tsmemory.backbones.registry._KINDS", dict(_KINDS))
    register_backbone("mine", lambda source, **options: (source, options))
    assert load_backbone("somewhere", kind="mine", device="cpu") == ("somewhere", {"device": "cpu"})
    assert load_backbone("mine") == ("mine", {})
    assert load_backbone("mine", quantile_levels=None) == ("mine", {})


def test_the_season_reaches_the_seasonal_naive_backbone():
    assert load_backbone("seasonal_naive", season=7).season == 7
    assert load_backbone("seasonal_naive").season == 24
