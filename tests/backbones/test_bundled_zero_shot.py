"""What the bundled weights are held to, zero-shot on real data that they have never seen.

``pytest tests/backbones/test_bundled_zero_shot.py -o log_cli=true -o log_cli_level=INFO`` says the
figures. The test splits are read here and nowhere before: nothing is chosen by them.
"""

import logging

import numpy as np
import pandas as pd
import pytest

from tsmemory.backbones import load_backbone
from tsmemory.metrics import score_windows, seasonal_error, seasonal_naive

LEVELS = tuple(level / 10 for level in range(1, 10))
logger = logging.getLogger(__name__)


@pytest.fixture(scope="module")
def bundled():
    return load_backbone("bundled")


def cut_windows(values, begin, *, context, horizon, stride):
    """Contexts and targets of every channel, targets from ``begin`` on; ``(N, L)``, ``(N, H)``."""
    starts = range(begin, len(values) - horizon + 1, stride)
    contexts = [values[start - context : start].T for start in starts]
    targets = [values[start : start + horizon].T for start in starts]
    return np.concatenate(contexts), np.concatenate(targets)


def scores(quantiles, targets, scale):
    done = score_windows(
        quantiles.astype(np.float32),
        targets.astype(np.float32),
        levels=LEVELS,
        horizons=(targets.shape[1],),
        complete=np.ones((len(targets), 1), dtype=bool),
        std=np.ones(len(targets)),
        mean=np.zeros(len(targets)),
        seasonal_error=scale,
    )
    return done.metrics(0)


def compare(backbone, name, contexts, targets, *, season, scale):
    """Scores of the backbone and of the seasonal naive, both with their own quantiles."""
    contexts, horizon = contexts.astype(np.float32), targets.shape[1]
    reference = load_backbone("seasonal_naive", season=season)
    answers = {}
    for who, model in (("bundled", backbone), ("seasonal_naive", reference)):
        answers[who] = scores(model.predict_quantiles(contexts, horizon), targets, scale)
        shown = ("mse", "mae", "mase", "wql", "coverage_80")
        figures = "  ".join(f"{metric} {answers[who][metric]:.4f}" for metric in shown)
        logger.info("%-24s %-15s %s", f"{name} @{horizon}", who, figures)
    return answers["bundled"], answers["seasonal_naive"]


def split_by_shares(values):
    """Train z units by the first 70 %, test windows in the last 20 %; scale of MASE by channel."""
    train_end, test_begin = int(0.7 * len(values)), int(0.8 * len(values))
    values = values[:, values[:train_end].std(axis=0) > 0]
    train = values[:train_end]
    return (values - train.mean(axis=0)) / train.std(axis=0), test_begin, train_end


def in_sample_scale(z, train_end, season, windows):
    """Seasonal error of each channel in training, for every window. Shape ``(windows,)``."""
    each = [seasonal_error(z[:train_end, c], season) for c in range(z.shape[1])]
    return np.tile(each, windows // z.shape[1])


def test_etth1(bundled, shared_data):
    table = pd.read_csv(shared_data("ETTh1.csv"), index_col="date").to_numpy()[:14400]
    z = (table - table[:8640].mean(axis=0)) / table[:8640].std(axis=0)
    contexts, targets = cut_windows(z, 11520, context=512, horizon=96, stride=7)
    scale = in_sample_scale(z, 8640, 24, len(targets))
    model, naive = compare(bundled, "ETTh1", contexts, targets, season=24, scale=scale)
    assert model["mse"] <= 0.42
    assert model["mae"] <= 0.42
    assert model["wql"] < naive["wql"]


def test_vic_electricity(bundled, shared_data):
    table = pd.read_csv(shared_data("vic_electricity.csv"))[["Demand", "Temperature"]].to_numpy()
    z, test_begin, train_end = split_by_shares(table)
    contexts, targets = cut_windows(z, test_begin, context=512, horizon=96, stride=29)
    scale = in_sample_scale(z, train_end, 48, len(targets))
    model, naive = compare(bundled, "vic_electricity", contexts, targets, season=48, scale=scale)
    assert model["mase"] < naive["mase"]
    assert model["wql"] < naive["wql"]


def test_m4_hourly(bundled, shared_data):
    """The competition's own protocol: the last 48 hours of each series."""
    table = pd.read_parquet(shared_data("m4_hourly.parquet"))
    series = [group["value"].to_numpy() for _, group in table.groupby("series_id")]
    contexts = np.stack([values[:-48][-512:] for values in series])
    targets = np.stack([values[-48:] for values in series])
    scale = np.array([seasonal_error(values[:-48], 24) for values in series])
    model, naive = compare(bundled, "m4_hourly", contexts, targets, season=24, scale=scale)
    assert model["mase"] < naive["mase"]
    assert model["wql"] < naive["wql"]


@pytest.mark.parametrize("horizon", [24, 96])
def test_the_sample(bundled, repository, horizon):
    table = pd.read_parquet(repository / "data" / "01_raw" / "tmy_weather.parquet")
    found = []
    for _, site in table.groupby("item_id"):
        channels = site.drop(columns=["item_id", "timestamp"]).to_numpy(dtype=np.float64)
        z, test_begin, train_end = split_by_shares(channels)
        contexts, targets = cut_windows(z, test_begin, context=512, horizon=horizon, stride=5)
        found.append((contexts, targets, in_sample_scale(z, train_end, 24, len(targets))))
    contexts, targets, scale = (np.concatenate(part) for part in zip(*found, strict=True))
    model, naive = compare(bundled, "sample", contexts, targets, season=24, scale=scale)
    assert model["mase"] < naive["mase"]
    assert model["wql"] < naive["wql"]


def test_the_reference_is_the_seasonal_naive_forecast():
    contexts = np.random.default_rng(0).normal(size=(3, 96)).astype(np.float32)
    median = load_backbone("seasonal_naive", season=24).predict_quantiles(contexts, 48)[:, 4]
    np.testing.assert_allclose(median, seasonal_naive(contexts, 48, 24), rtol=1e-6)
