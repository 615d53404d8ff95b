"""Hooks that need no project."""

import os
import warnings

import pytest

from tsmemory.hooks import USELESS_WARNINGS, QuietHooks, RunHooks


def test_known_useless_warnings_are_silenced(monkeypatch):
    monkeypatch.setattr(os, "environ", {"CI": "true"})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        QuietHooks().after_context_created(context=None)
        for message in USELESS_WARNINGS:
            warnings.warn(f"{message} and more", UserWarning, stacklevel=1)
        warnings.warn("something else", UserWarning, stacklevel=1)
    assert [str(line.message) for line in caught] == ["something else"]
    silent = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    assert os.environ == {"CI": "true", **silent}


def test_run_hooks_do_nothing_before_a_run():
    hooks = RunHooks({})
    hooks.before_node_run(node=None)
    hooks.after_dataset_saved(dataset_name="x", node=None)
    hooks.on_pipeline_error(error=ValueError(), catalog=None)
    assert hooks.record is None


@pytest.mark.parametrize("name", ["FolderDataset", "ShardCacheDataset", "AtomicJSONDataset"])
def test_datasets_are_offered_by_name(name):
    import tsmemory.io

    assert getattr(tsmemory.io, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        tsmemory.io.Nothing  # noqa: B018
