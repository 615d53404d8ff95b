"""A run that changes something else does not ask the backbone what it has said before."""

import os

import pytest

INDEXING = ["ingestion", "windowing", "indexing"]
FORECASTS = ("train_forecasts", "validation_forecasts")


@pytest.fixture
def asked(monkeypatch):
    """Windows that the bundled backbone is asked about, by method."""
    from tsmemory.backbones.chronos_bolt import ChronosBolt

    counts = {"embed": 0, "encode_and_predict": 0}

    def counted(name):
        whole = getattr(ChronosBolt, name)

        def count(self, contexts, *args, **options):
            counts[name] += len(contexts)
            return whole(self, contexts, *args, **options)

        return count

    for name in counts:
        monkeypatch.setattr(ChronosBolt, name, counted(name))
    return counts


def test_another_stride_of_the_test_split_asks_nothing_about_training(grown, asked):
    before = grown.digests("datastore", *FORECASTS)
    steps = grown.run({"windowing.strides.test": 79}, pipelines=INDEXING)
    assert {"forecast_training_windows", "index_training_windows"} <= set(steps)
    assert asked == {"embed": 0, "encode_and_predict": 0}
    assert grown.digests("datastore", *FORECASTS) == before


def test_recomputing_everything_gives_the_same(grown, asked):
    before = grown.digests("datastore", *FORECASTS)
    grown.run({"resume": False}, pipelines=INDEXING)
    assert asked == {"embed": 0, "encode_and_predict": 0}
    grown.run({"resume": False, "indexing.cache": False}, pipelines=INDEXING)
    assert min(asked.values()) > 0
    assert grown.digests("datastore", *FORECASTS) == before
    parts = grown.folder / "data/04_datastore/test/backbone_answers"
    assert [path.name for path in parts.iterdir()] == ["test"]


def test_forecasts_lie_on_disk_once(base):
    folder = base.folder / "data/04_datastore/test/backbone_answers"
    for split in ("train", "validation", "test"):
        (kept,) = (folder / split).glob("*/quantiles.npy")
        assert os.path.samefile(kept, base.artefact(f"{split}_forecasts") / "quantiles.npy")


def test_a_damaged_answer_is_asked_for_again(grown, asked, caplog):
    before = grown.digests("datastore", *FORECASTS)
    (kept,) = (grown.folder / "data/04_datastore/test/backbone_answers/train").glob(
        "*/quantiles.npy"
    )
    kept.write_bytes(kept.read_bytes()[:-1] + b"\x7f")
    grown.run({"windowing.strides.test": 79}, pipelines=INDEXING)
    assert asked["encode_and_predict"] > 0
    assert "is damaged, so it is worked out again" in caplog.text
    assert grown.digests("datastore", *FORECASTS) == before
