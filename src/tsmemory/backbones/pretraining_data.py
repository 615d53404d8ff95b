"""What published backbones were trained on, and which public benchmark a domain is.

A backbone that saw a benchmark in training forecasts it better than it would forecast new data.
The lists hold what the authors published, no more; a missing name means that they do not name it.
"""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tsmemory.backbones.benchmarks import BENCHMARKS, DISTINCTIVE

_DRESSING = re.compile(r"_(data|dataset|(with|without)_missing(_values)?)$")


@dataclass(frozen=True)
class PretrainingData:
    """What a backbone was trained on.

    Attributes:
        description: One phrase for people.
        datasets: Canonical names of the known benchmarks among it (see :func:`benchmark_of`);
            empty where there are none, ``None`` where nobody said.
    """

    description: str
    datasets: frozenset[str] | None


def known_pretraining(source: str) -> PretrainingData | None:
    """Training data of published weights.

    Args:
        source: Hub id, such as ``"amazon/chronos-bolt-small"``.

    Returns:
        What the authors say of it; ``None`` for weights that are not listed here.
    """
    name = source.lower()
    return next((data for pattern, data in _PUBLISHED if fnmatchcase(name, pattern)), None)


def benchmark_of(*names: str | None) -> str | None:
    """Tell which public benchmark a domain is, by what it and its file are called.

    Names that other data may have as well (``weather``, ``traffic``) count only where they are the
    whole name; those that only a benchmark has (``etth1``, ``m4_hourly``) anywhere in it.

    Args:
        *names: The domain, the path of its file, the address that the file came from.

    Returns:
        Canonical lower-case name of the first benchmark found, ``None`` if there is none.

    Example:
        >>> benchmark_of("my_domain", "data/ETTh1.csv")
        'etth1'
    """
    for name in names:
        plain = _plain(name or "")
        for benchmark, aliases in BENCHMARKS.items():
            if plain in aliases or any(
                f"_{alias}_" in f"_{plain}_" for alias in aliases & DISTINCTIVE
            ):
                return benchmark
    return None


def contamination(pretraining: PretrainingData, benchmark: str | None) -> str | None:
    """Say where a backbone's results on a benchmark are, or may be, flattered.

    Args:
        pretraining: What the backbone was trained on.
        benchmark: What :func:`benchmark_of` found.

    Returns:
        A sentence for reports; ``None`` where there is nothing to say.
    """
    if benchmark is None:
        return None
    if pretraining.datasets is None:
        return (
            f"The domain looks like the public benchmark {benchmark}, and it is not known whether "
            f"the backbone was trained on it (training data: {pretraining.description}): its "
            "results, and what the memory adds to them, may not hold for new data."
        )
    if benchmark in pretraining.datasets:
        return (
            f"The backbone was trained on {benchmark}, which the domain looks like (training data: "
            f"{pretraining.description}): its forecasts here are not zero-shot, and what the "
            "memory adds to them does not tell what it adds on new data."
        )
    return None


def _plain(name: str) -> str:
    """The last part of a path or address, lower-case, without ending and usual additions."""
    stem = re.split(r"[\\/]", name)[-1].split(".")[0].lower()
    plain = re.sub(r"[^a-z0-9]+", "_", stem).strip("_")
    while (shorter := _DRESSING.sub("", plain)) != plain:
        plain = shorter
    return plain


# Chronos (Ansari et al., 2024, arXiv:2403.07815, table 3): the 13 sets for training only and the 15
# of the in-domain benchmark, but for their last steps. The 27 of the zero-shot benchmark (ETT,
# exchange rate, traffic, Australian electricity, M1, M3, M5, ...) are held out. Chronos-Bolt was
# trained on the same real data (its authors in chronos-forecasting, issue 245). NREL's solar
# sets contain the 137 plants known as "solar".
_CHRONOS = frozenset(
    {
        "brazilian_cities_temperature",
        "electricity",
        "kdd_cup_2018",
        "london_smart_meters",
        "m4_daily",
        "m4_hourly",
        "m4_monthly",
        "m4_weekly",
        "mexico_city_bikes",
        "pedestrian_counts",
        "rideshare",
        "solar",
        "spanish_energy_weather",
        "taxi",
        "temperature_rain",
        "uber_tlc",
        "ushcn",
        "weatherbench",
        "wiki_daily",
        "wind_farms",
    }
)
# Chronos-2 (Ansari et al., 2025, arXiv:2510.15821, section 4.1 and table 6) names subsets of the
# Chronos corpus and of GIFT-Eval Pretrain, and says that none of Chronos' zero-shot benchmark is
# among them. These are the ones of the former that it names.
_CHRONOS_2 = _CHRONOS - {"brazilian_cities_temperature", "rideshare", "spanish_energy_weather"}
# GIFT-Eval Pretrain (Aksu et al., 2024, arXiv:2410.10393, table 14; Salesforce/GiftEvalPretrain on
# the hub). Apart from climate, buildings and cloud data it holds most of the Monash archive; of the
# half-hourly demand of Victoria in two places (australian_electricity_demand, elecdemand). ETT,
# electricity, solar, M4 and Jena's weather belong to its test part and are left out.
_GIFT_EVAL_PRETRAIN = frozenset(
    {
        "australian_electricity",
        "cif_2016",
        "fred_md",
        "illness",
        "london_smart_meters",
        "m1_monthly",
        "m1_quarterly",
        "m1_yearly",
        "m3_monthly",
        "m3_other",
        "m3_quarterly",
        "m3_yearly",
        "m5",
        "monash_weather",
        "nn5",
        "pedestrian_counts",
        "pems03",
        "pems04",
        "pems07",
        "pems08",
        "pems_bay",
        "rideshare",
        "taxi",
        "tourism_monthly",
        "tourism_quarterly",
        "tourism_yearly",
        "traffic",
        "uber_tlc",
        "wind_farms",
    }
)
_PUBLISHED: tuple[tuple[str, PretrainingData], ...] = (
    (
        "amazon/chronos-bolt-*",
        PretrainingData(
            "the Chronos corpus (28 public sets without those of its zero-shot benchmark) and "
            "synthetic series",
            _CHRONOS,
        ),
    ),
    (
        "amazon/chronos-2*",
        PretrainingData(
            "subsets of the Chronos corpus and of GIFT-Eval Pretrain, without test parts, and "
            "synthetic series",
            _CHRONOS_2,
        ),
    ),
    (
        # The model card of google/timesfm-2.5-200m-pytorch.
        "google/timesfm-2.5*",
        PretrainingData(
            "GIFT-Eval Pretrain, Wikimedia page views up to November 2023, Google Trends up to "
            "2022, synthetic and augmented series",
            _GIFT_EVAL_PRETRAIN | {"wiki_daily"},
        ),
    ),
)
