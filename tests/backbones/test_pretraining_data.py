import pytest

from tsmemory.backbones.benchmarks import BENCHMARKS
from tsmemory.backbones.pretraining_data import (
    PretrainingData,
    benchmark_of,
    contamination,
    known_pretraining,
)

BOLT, CHRONOS_2, TIMESFM = (
    known_pretraining(source)
    for source in (
        "amazon/chronos-bolt-small",
        "amazon/chronos-2",
        "google/timesfm-2.5-200m-transformers",
    )
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ETTh1", "etth1"),
        ("data/01_raw/ETTh1.csv", "etth1"),
        ("etth1_own_copy", "etth1"),
        ("https://example.org/ETT-small/ETTm2.csv", "ettm2"),
        ("C:\\data\\ETTh2.parquet", "etth2"),
        ("m4_hourly", "m4_hourly"),
        ("M4-Hourly.parquet", "m4_hourly"),
        ("m4_hourly_dataset", "m4_hourly"),
        ("vic_electricity", "australian_electricity"),
        ("vic_elec.csv.gz", "australian_electricity"),
        ("kdd_cup_2018_with_missing_values", "kdd_cup_2018"),
        ("electricity", "electricity"),
        ("traffic", "traffic"),
        ("weather", "jena_weather"),
        ("monash_weather", "monash_weather"),
        ("exchange_rate", "exchange_rate"),
    ],
)
def test_benchmarks_are_known_by_their_names(name, expected):
    assert benchmark_of(name) == expected


@pytest.mark.parametrize(
    "name",
    [None, "", "my_domain", "tmy_weather", "berlin_traffic", "our_electricity_2024", "m4", "gm5x"],
)
def test_own_data_are_no_benchmark(name):
    assert benchmark_of(name) is None


def test_any_of_several_names_tells():
    assert benchmark_of("mine", None, "data/ETTh1.csv") == "etth1"


def test_no_name_means_two_benchmarks():
    names = [alias for aliases in BENCHMARKS.values() for alias in aliases]
    assert len(names) == len(set(names))
    assert all(benchmark_of(alias) == name for name, many in BENCHMARKS.items() for alias in many)


def test_published_lists_only_hold_known_benchmarks():
    for data in (BOLT, CHRONOS_2, TIMESFM):
        assert data.datasets
        assert data.datasets <= set(BENCHMARKS)
        assert data.description


def test_chronos_holds_its_zero_shot_benchmark_out():
    held_out = {"etth1", "ettm2", "australian_electricity", "traffic", "m5", "exchange_rate"}
    assert not held_out & (BOLT.datasets | CHRONOS_2.datasets)
    assert {"m4_hourly", "electricity"} <= BOLT.datasets & CHRONOS_2.datasets


def test_timesfm_knows_the_demand_of_victoria_but_no_transformer():
    assert {"australian_electricity", "traffic"} <= TIMESFM.datasets
    assert not {"etth1", "etth2", "ettm1", "ettm2", "m4_hourly"} & TIMESFM.datasets


@pytest.mark.parametrize("source", ["bundled", "my/folder", "amazon/chronos-t5-small", ""])
def test_other_weights_are_not_known(source):
    assert known_pretraining(source) is None


def test_contamination_is_told_apart_from_not_knowing():
    assert "was trained on m4_hourly" in contamination(BOLT, "m4_hourly")
    assert contamination(BOLT, "etth1") is None
    assert contamination(BOLT, None) is None
    unknown = PretrainingData("not stated", None)
    assert "not known whether" in contamination(unknown, "etth1")
    assert contamination(unknown, None) is None
    assert contamination(PretrainingData("synthetic series", frozenset()), "etth1") is None
