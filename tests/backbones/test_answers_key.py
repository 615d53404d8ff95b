"""The key changes with whatever could change an answer, and with nothing else."""

import importlib.util
import sys
from dataclasses import replace

import numpy as np
import pytest

from builders import seasonal_rows, series_of, windows_over
from tsmemory.backbones.answers import answers_key, source_files
from tsmemory.series.series_set import SeriesSet


class Named:
    """A backbone as far as its answers' key is concerned."""

    def __init__(self, fingerprint="f", needs_origins=False, device="cpu"):
        self.fingerprint, self.needs_origins, self.device = fingerprint, needs_origins, device


class Renamed(Named):
    """Another kind with the same weights."""


class Answering(Named):
    """One that another may be wrapped around."""

    def encode_and_predict(self, contexts, horizon):
        raise NotImplementedError


class Wrapping(Answering):
    """One that does something with another's answers."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner


@pytest.fixture
def series():
    return series_of(seasonal_rows(np.random.default_rng(0), [60, 50]))


@pytest.fixture
def windows(series):
    return windows_over(series, 24, 6, stride=5)


def key(windows, series, backbone=None, horizon=6, **settings):
    return answers_key(backbone or Named(), windows, series, horizon=horizon, settings=settings)


def with_value(series: SeriesSet, position: int) -> SeriesSet:
    flat = series.flat.copy()
    flat[position] += 1
    return replace(series, flat=flat)


def test_a_second_run_has_the_same_key(series, windows):
    again = series_of([series.row_values(0), series.row_values(1)])
    assert key(windows, series, dtype="float32") == key(windows, again, dtype="float32")


@pytest.mark.parametrize(
    "other",
    [
        {"backbone": Named("g")},
        {"backbone": Renamed()},
        {"horizon": 5},
        {"horizon": None},
        {"dtype": "bfloat16"},
        {"device": "cuda"},
    ],
    ids=["weights", "name", "horizon", "no horizon", "dtype", "device"],
)
def test_other_weights_settings_or_horizons_have_another_key(series, windows, other):
    assert key(windows, series, **other) != key(windows, series)


def test_the_number_of_a_gpu_does_not_matter_but_its_kind_does(series, windows):
    keys = [key(windows, series, device=name) for name in ("cuda", "cuda:1", "mps", "cpu")]
    assert len(set(keys)) == 3
    assert keys[0] == keys[1] == key(windows, series, Named(device="cuda:0"))


def test_values_outside_of_the_contexts_do_not_matter(series, windows):
    last = int(windows.start[windows.row == 0].max()) + 24
    assert key(windows, with_value(series, last)) == key(windows, series)
    assert key(windows, with_value(series, last - 1)) != key(windows, series)


def test_appended_rows_change_nothing_before_them(series, windows):
    longer = series_of([np.append(series.row_values(row), [9.0, 8.0]) for row in (0, 1)])
    assert windows.fingerprint(longer) != windows.fingerprint(series)
    assert key(windows, longer) == key(windows, series)
    assert key(replace(windows, limit=windows.limit + 2), longer) == key(windows, series)


def test_other_windows_have_another_key(series, windows):
    assert key(windows.take(slice(1, None)), series) != key(windows, series)
    assert key(windows.take(slice(None, None, -1)), series) != key(windows, series)
    assert key(replace(windows, context_length=23), series) != key(windows, series)


def test_what_a_backbone_is_wrapped_around_counts(series, windows):
    class Inner(Answering):
        """Another kind with the same weights."""

    found = [key(windows, series, Wrapping(inner)) for inner in (Answering(), Inner())]
    assert found[0] == key(windows, series, Wrapping(Answering()))
    assert len({*found, key(windows, series, Answering())}) == 3


def test_where_a_context_lies_matters_to_those_that_look_forecasts_up(series, windows):
    elsewhere = replace(series, item_id=np.array(["other", "s1"], dtype=object))
    assert key(windows, elsewhere) == key(windows, series)
    looks_up = Named(needs_origins=True)
    assert key(windows, elsewhere, looks_up) != key(windows, series, looks_up)
    assert key(windows, series, looks_up) == key(windows, series, Named(needs_origins=True))


def test_the_code_of_a_backbone_is_its_own_and_what_it_builds_on():
    found = source_files("tsmemory.backbones.seasonal_naive")
    assert {"tsmemory.backbones.seasonal_naive", "tsmemory.metrics.naive"} <= set(found)
    assert not [
        name
        for name in found
        if name.split(".")[1] in ("memory", "teacher", "evaluation", "pipelines", "runs")
    ]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of a user with a module that imports others in every way."""
    folder = tmp_path / "somebodys"
    folder.mkdir()
    files = {
        "__init__": "from somebodys.unrelated import X",
        "backbone": "import somebodys.plain\nfrom .near import X\nfrom somebodys import named\n"
        "import numpy\ndef later():\n    from somebodys.lazy import X\n",
        "near": "X = 1",
        "named": "import somebodys.backbone",  # a circle
        "plain": "from somebodys.deeper import X",
        "deeper": "X = 1",
        "lazy": "X = 1",
        "unrelated": "X = 1",
    }
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "somebodys"]:
        del sys.modules[name]


@pytest.mark.usefixtures("package")
def test_imports_are_followed_within_the_package():
    assert importlib.util.find_spec("somebodys.backbone") is not None
    names = {name.partition(".")[2] for name in source_files("somebodys.backbone")}
    assert names == {"backbone", "near", "named", "plain", "deeper", "lazy"}
