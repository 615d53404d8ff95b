from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from forecasters import (
    ELSEWHERE,
    FULL,
    HOURS,
    IDLE,
    OPEN,
    H,
    L,
    bundled,
    by_hand,
    make_adapter,
    make_contexts,
    make_forecaster,
    make_frame,
)

from tsmemory import MemoryForecaster
from tsmemory.memory.errors import ForecasterError


@pytest.fixture(scope="module")
def forecaster():
    return make_forecaster()


@pytest.fixture(scope="module")
def backbone():
    return bundled()


@pytest.fixture(scope="module")
def contexts():
    return make_contexts()


def test_idle_fusion_returns_the_backbone_bit_for_bit(backbone, contexts):
    """Bit for bit in the memory's unit; in the user's own the unit costs a rounding."""
    idle = make_forecaster(IDLE)
    quantiles, median = idle.predict_quantiles(contexts, 130)
    unit = idle.series.unit(contexts)
    same = unit.restore(backbone.predict_quantiles(unit.reduce(contexts), 130))
    np.testing.assert_array_equal(quantiles.numpy(), same.transpose(0, 2, 1))
    np.testing.assert_array_equal(median.numpy(), same[:, 4])
    frozen = backbone.predict_quantiles(contexts, 130)
    np.testing.assert_allclose(quantiles.numpy(), frozen.transpose(0, 2, 1), rtol=1e-5)


def test_forecast_is_the_fusion_of_backbone_and_adapter(backbone, forecaster, contexts):
    expected = by_hand(forecaster, contexts)
    quantiles, median = forecaster.predict_quantiles(contexts)
    assert quantiles.shape == (12, H, 9)
    assert median.shape == (12, H)
    assert quantiles.dtype == median.dtype == torch.float32
    torch.testing.assert_close(quantiles, expected)
    frozen = torch.from_numpy(backbone.predict_quantiles(contexts, H)).transpose(1, 2)
    assert (quantiles - frozen).abs().max() > 0.05
    assert (quantiles.diff(dim=2) >= 0).all()


@pytest.mark.parametrize("horizon", [1, 24, 47, H, 96, 130])
def test_a_shorter_horizon_is_a_slice_of_a_longer_one(backbone, forecaster, contexts, horizon):
    longest, middle = forecaster.predict_quantiles(contexts, 200)
    quantiles, median = forecaster.predict_quantiles(contexts, horizon)
    torch.testing.assert_close(quantiles, longest[:, :horizon], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(median, middle[:, :horizon], rtol=1e-5, atol=1e-5)
    frozen = backbone.predict_quantiles(contexts, 200).transpose(0, 2, 1)
    np.testing.assert_allclose(longest[:, H:].numpy(), frozen[:, H:], rtol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 5, 7])
def test_the_answer_does_not_depend_on_the_batch(forecaster, contexts, batch_size):
    whole = forecaster.predict_quantiles(contexts, 100, batch_size=256)
    parts = forecaster.predict_quantiles(contexts, 100, batch_size=batch_size)
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_raw_units_are_as_good_as_scaled_ones(forecaster, contexts):
    quantiles, _ = forecaster.predict_quantiles(contexts)
    scaled, _ = forecaster.predict_quantiles((contexts - 20) / 4)
    torch.testing.assert_close(quantiles, scaled * 4 + 20, rtol=1e-4, atol=1e-4)


def test_contexts_of_any_kind_and_length(forecaster, contexts):
    whole = torch.from_numpy(contexts)
    expected, _ = forecaster.predict_quantiles(contexts)
    long = np.concatenate([np.full((12, 30), 1e6, np.float32), contexts], axis=1)
    for given_ in (whole, contexts.astype(np.float64), list(whole), long, list(long)):
        assert torch.equal(forecaster.predict_quantiles(given_)[0], expected)
    first, _ = forecaster.predict_quantiles(contexts[0])
    torch.testing.assert_close(first, expected[:1], rtol=1e-5, atol=1e-5)


def test_short_series_count_as_missing_before_their_start(forecaster, contexts, caplog):
    padded = contexts[:3].copy()
    padded[0, : L - 10] = np.nan
    padded[1, :5] = np.nan
    padded[2, 30:34] = np.nan
    expected, median = forecaster.predict_quantiles(padded)
    assert torch.isfinite(expected).all()
    caplog.clear()
    mixed = [contexts[0, -10:], torch.from_numpy(contexts[1, 5:]), padded[2]]
    quantiles, same = forecaster.predict_quantiles(mixed)
    assert torch.equal(quantiles, expected)
    assert torch.equal(same, median)
    (record,) = caplog.records
    assert "3 of 3 contexts are not whole" in record.getMessage()
    assert "context 0 has 10 of 64 steps" in record.getMessage()


def test_constant_series_are_forecast_as_constant(forecaster):
    quantiles, median = forecaster.predict_quantiles(np.full((1, L), 7.0))
    assert torch.isfinite(quantiles).all()
    torch.testing.assert_close(median, torch.full((1, H), 7.0), atol=1e-2, rtol=0)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([], "no context"),
        (np.zeros((0, L)), "no context"),
        (np.zeros((2, 3, L)), r"got shape \(2, 3, 64\)"),
        ([np.zeros(L), np.zeros((2, L))], r"context 1 of the list .* shape \(2, 64\)"),
        ([np.zeros(L), np.full(L, np.nan)], "no observed value in the last 64 steps of context 1"),
        ([np.zeros(0)], "no observed value .* of context 0"),
        ([np.arange(9.0), np.array([1, np.inf])], "infinite values in context 1"),
        (np.full((1, 4), 1e300), "infinite values in context 0"),
    ],
)
def test_contexts_that_cannot_be_forecast_are_refused(forecaster, bad, message):
    with pytest.raises(ForecasterError, match=message):
        forecaster.predict_quantiles(bad)


@pytest.mark.parametrize("horizon", [0, -1, 2.5, "24"])
def test_impossible_horizons_are_refused(forecaster, contexts, horizon):
    with pytest.raises(ForecasterError, match="prediction_length must be a whole number"):
        forecaster.predict_quantiles(contexts, horizon)


def test_impossible_batch_sizes_are_refused(forecaster, contexts):
    with pytest.raises(ForecasterError, match="batch_size must be a whole number >= 1, got 0"):
        forecaster.predict_quantiles(contexts, batch_size=0)


def test_threads_give_what_one_after_another_gives(forecaster, contexts):
    parts = [contexts[i : i + 4] + i for i in range(8)]
    serial = [forecaster.predict_quantiles(part, 100) for part in parts]
    with ThreadPoolExecutor(8) as pool:
        threaded = list(pool.map(lambda part: forecaster.predict_quantiles(part, 100), parts * 3))
    for expected, found in zip(serial * 3, threaded, strict=True):
        assert torch.equal(expected[0], found[0])
        assert torch.equal(expected[1], found[1])


def test_the_forecaster_keeps_its_own_copy_of_the_adapter(backbone, contexts):
    adapter = make_adapter(backbone).train()
    forecaster = MemoryForecaster(
        backbone, adapter, OPEN, ELSEWHERE, backbone_source="bundled", domain=None
    )
    before, _ = forecaster.predict_quantiles(contexts)
    with torch.no_grad():
        adapter.bias.add_(1)
    assert torch.equal(forecaster.predict_quantiles(contexts)[0], before)
    assert adapter.training


@pytest.mark.parametrize(
    ("sizes", "fusion", "message"),
    [
        ({"quantile_levels": (0.1, 0.5, 0.9)}, OPEN, r"\[0.1, 0.5, 0.9\].*\[0.1, 0.2"),
        ({"key_length": 5}, OPEN, r"length 5, .* have \d+"),
        ({"horizon": 96}, OPEN, r"\[2\] blocks of 24 steps.*horizon of 96"),
    ],
)
def test_parts_that_do_not_fit_are_refused(backbone, sizes, fusion, message):
    with pytest.raises(ForecasterError, match=message):
        make_forecaster(fusion, **sizes)


@pytest.mark.parametrize("fusion", [IDLE, OPEN])
@pytest.mark.parametrize("spread", [1.0, 400.0, 1500.0])
def test_a_high_level_costs_no_precision(fusion, spread):
    """To single precision of the answer itself, a sixteenth at a level of a million."""
    forecaster = make_forecaster(fusion)
    contexts = spread * np.random.default_rng(0).normal(size=(3, L))
    contexts[1, :9] = np.nan
    contexts -= np.nanmean(contexts, axis=1, keepdims=True)
    expected, middle = forecaster.predict_quantiles(contexts, 60)
    quantiles, median = forecaster.predict_quantiles(contexts + 1e6, 60)
    tolerance = 1e-3 * spread + np.spacing(np.float32(1e6)) / 2
    for found, low in ((quantiles, expected), (median, middle)):
        np.testing.assert_allclose(found.double(), low.double() + 1e6, rtol=0, atol=tolerance)


def test_a_high_level_changes_nothing_for_the_others(forecaster, contexts):
    expected, _ = forecaster.predict_quantiles(contexts)
    mixed = contexts.astype(np.float64)
    mixed[6:] += 1e7
    found, _ = forecaster.predict_quantiles(mixed)
    torch.testing.assert_close(found[:6], expected[:6], rtol=1e-6, atol=1e-6)
    gap = found[6:].double() - 1e7 - expected[6:].double()
    assert gap.abs().max() < 0.51  # half a step of single precision at this level


def test_more_than_single_precision_is_taken_from_tensors(forecaster, contexts):
    far = contexts.astype(np.float64) + 1e8
    expected, _ = forecaster.predict_quantiles(far)
    assert torch.equal(forecaster.predict_quantiles(torch.from_numpy(far))[0], expected)
    assert torch.equal(forecaster.predict_quantiles(list(far))[0], expected)


def test_it_introduces_itself():
    idle = make_forecaster(IDLE)
    assert repr(idle).startswith("MemoryForecaster(domain=")
    assert f"context_length={L}, horizon={H}): the frozen backbone alone" in repr(idle)


@pytest.fixture(scope="module")
def full():
    return make_forecaster(FULL)


def test_all_that_is_mixed_is_in_the_forecast(full, contexts):
    names = ["load", "target"] * 6
    expected = by_hand(full, contexts, channels=names)
    quantiles, _ = full.predict_quantiles(contexts, channels=names)
    torch.testing.assert_close(quantiles, expected, rtol=1e-4, atol=1e-4)
    shared, _ = full.predict_quantiles(contexts)
    torch.testing.assert_close(quantiles[1::2], shared[1::2])
    assert (quantiles[::2] - shared[::2]).abs().max() > 0.05


@pytest.mark.parametrize("batch_size", [1, 5])
def test_nor_does_what_is_mixed_depend_on_the_batch(full, contexts, batch_size):
    gaps = contexts.copy()
    gaps[2, 10:20] = np.nan
    gaps[7, -5:] = np.nan
    names = ["load", "target", "x"] * 4
    whole, _ = full.predict_quantiles(gaps, 100, channels=names)
    parts, _ = full.predict_quantiles(gaps, 100, channels=names, batch_size=batch_size)
    torch.testing.assert_close(whole, parts, rtol=1e-5, atol=1e-5)
    shorter, _ = full.predict_quantiles(gaps, 30, channels=names)
    torch.testing.assert_close(whole[:, :30], shorter, rtol=1e-5, atol=1e-5)
    assert (whole.diff(dim=2) >= 0).all()


def test_naive_forecasts_and_residuals_have_the_users_unit(full, contexts):
    quantiles, _ = full.predict_quantiles(contexts)
    scaled, _ = full.predict_quantiles(contexts * 1e4 + 3e7)
    torch.testing.assert_close((scaled - 3e7) / 1e4, quantiles, rtol=1e-3, atol=2e-3)


def test_a_table_names_its_channels(full):
    frame = make_frame(HOURS)
    both = full.predict_df(frame, target=["target", "load"], prediction_length=20)
    load = both[both["target_name"] == "load"].reset_index(drop=True)
    renamed = frame.drop(columns="target").rename(columns={"load": "target"})
    unknown = full.predict_df(renamed, prediction_length=20)
    assert np.abs(load["predictions"] - unknown["predictions"]).max() > 0.01
    series = [part["load"].to_numpy() for _, part in frame.groupby("item_id", sort=False)]
    expected, _ = full.predict_quantiles(series, 20, channels=["load", "load"])
    columns = [str(round(0.1 * level, 1)) for level in range(1, 10)]
    np.testing.assert_allclose(
        load[columns].to_numpy(), expected.reshape(-1, 9).numpy(), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("what", ["channels", "items"])
def test_names_have_to_be_as_many_as_series(full, contexts, what):
    with pytest.raises(ForecasterError, match=f"2 {what} for 12 series"):
        full.predict_quantiles(contexts, **{what: ["a", "b"]})


def test_it_is_saved_with_all_that_is_mixed(full, contexts, tmp_path):
    full.save_pretrained(tmp_path)
    loaded = MemoryForecaster.from_pretrained(tmp_path)
    assert loaded.fusion == FULL
    one, other = (f.predict_quantiles(contexts, channels=["load"] * 12) for f in (full, loaded))
    assert torch.equal(one[0], other[0])


def test_an_untrained_adapter_is_its_closed_form(backbone, contexts):
    """What nothing was learnt for is skipped when forecasting, and changes nothing."""
    adapter = make_adapter(backbone)
    for head in (adapter.step, adapter.trust, adapter.widen):
        for parameter in head.parameters():
            torch.nn.init.zeros_(parameter)
    keys, frozen = backbone.encode_and_predict(contexts, H)
    inputs = [torch.from_numpy(values) for values in (contexts, frozen, keys)]
    adapter.eval()
    assert not adapter.has_learnt
    whole = adapter(*inputs)  # with gradients everything is computed
    with torch.inference_mode():
        torch.testing.assert_close(adapter(*inputs), whole, rtol=1e-5, atol=1e-5)
    torch.nn.init.constant_(adapter.step.bias, 0.3)
    adapter.load_state_dict(adapter.state_dict())
    assert adapter.has_learnt
    with torch.inference_mode():
        assert (adapter(*inputs) - whole).abs().max() > 0.1
