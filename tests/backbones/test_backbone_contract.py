"""What every registered backbone keeps to; a new kind only adds a line to ``CASES``."""

import numpy as np
import pandas as pd
import pytest

from tsmemory.backbones import (
    Backbone,
    BackboneError,
    Origins,
    PretrainingData,
    backbone_kinds,
    load_backbone,
)

# What is loaded: the kind it is of, the fixture that makes it (or its name), and options.
CASES = {
    "bundled": ("chronos_bolt", "bundled", {}),
    "bolt": ("chronos_bolt", "tiny_bolt", {}),
    "bolt_without_reg": ("chronos_bolt", "plain_bolt", {"rollout": "quantile"}),
    "chronos2": ("chronos2", "tiny_chronos2", {}),
    "chronos2_quantile": ("chronos2", "tiny_chronos2", {"rollout": "quantile"}),
    "timesfm": ("timesfm", "tiny_timesfm", {}),
    "timesfm_quantile": ("timesfm", "tiny_timesfm", {"rollout": "quantile"}),
    "other_levels": ("chronos2", "tiny_chronos2", {"quantile_levels": (0.02, 0.1, 0.5, 0.77)}),
    "trace": ("trace", "tiny_trace", {}),
    "seasonal_naive": ("seasonal_naive", "seasonal_naive", {"season": 12}),
}


def load(case, request):
    kind, source, options = CASES[case]
    fixture = source not in ("bundled", *backbone_kinds())
    name = request.getfixturevalue(source) if fixture else source
    return load_backbone(name, kind=kind, **options)


@pytest.fixture(scope="module", params=CASES)
def backbone(request):
    return load(request.param, request)


@pytest.fixture(scope="module")
def length(backbone):
    return min(backbone.context_length, 96)


@pytest.fixture(scope="module")
def far(backbone):
    """A horizon beyond the native one, where there is such a thing and it costs little."""
    native = backbone.native_horizon
    return 203 if native > 200 else native * 2 + 3


@pytest.fixture
def contexts(length):
    rng = np.random.default_rng(0)
    step = np.arange(length)
    waves = np.sin(2 * np.pi * (step + rng.integers(0, 12, (9, 1))) / 12)
    return (rng.normal(0, 3, (9, 1)) + waves + rng.normal(0, 0.4, (9, length))).astype(np.float32)


@pytest.fixture
def gappy(contexts):
    contexts[0, :10] = np.nan
    contexts[1, 5:25] = np.nan
    contexts[2, -7:] = np.nan
    contexts[3, ::2] = np.nan
    contexts[7] = np.nan
    contexts[8] = -1.5
    return contexts


def test_every_registered_kind_is_under_contract():
    assert {kind for kind, *_ in CASES.values()} | {"precomputed"} == set(backbone_kinds())


def test_it_says_what_it_is(backbone):
    assert isinstance(backbone, Backbone)
    assert len(backbone.fingerprint) == 16
    assert 0.5 in backbone.quantile_levels
    assert list(backbone.quantile_levels) == sorted(set(backbone.quantile_levels))
    assert backbone.name
    assert backbone.licence
    assert isinstance(backbone.pretraining_data, PretrainingData)
    assert backbone.pretraining_data.description
    assert min(backbone.context_length, backbone.native_horizon) > 0
    assert backbone.needs_origins is False


def test_shapes_types_and_order(backbone, contexts, far):
    keys, quantiles = backbone.encode_and_predict(contexts, far)
    assert quantiles.shape == (len(contexts), len(backbone.quantile_levels), far)
    assert keys.ndim == 2
    assert len(keys) == len(contexts)
    assert keys.dtype == quantiles.dtype == np.float32
    assert (np.diff(quantiles, axis=1) >= 0).all()
    assert np.isfinite(keys).all()


def test_the_answer_does_not_depend_on_the_batch(backbone, gappy, far):
    whole = backbone.encode_and_predict(gappy, far)
    shuffled = np.random.default_rng(1).permutation(len(gappy))
    for rows in (*np.arange(len(gappy))[:, None], np.arange(7), shuffled):
        keys, quantiles = backbone.encode_and_predict(gappy[rows], far)
        np.testing.assert_allclose(keys, whole.keys[rows], atol=1e-5)
        np.testing.assert_allclose(quantiles, whole.quantiles[rows], atol=1e-5, rtol=1e-5)


def test_missing_values_and_hopeless_contexts_give_finite_answers(backbone, gappy, far):
    gappy[4] = np.nan
    gappy[5] = 2.5
    gappy[6, :-1] = np.nan
    keys, quantiles = backbone.encode_and_predict(gappy, far)
    assert np.isfinite(keys).all()
    assert np.isfinite(quantiles).all()
    assert (np.diff(quantiles, axis=1) >= 0).all()
    np.testing.assert_allclose(quantiles[5], 2.5, atol=0.05)


def test_missing_steps_on_the_left_are_no_history(backbone, contexts):
    short = contexts[:, -23:]
    padded = np.concatenate([np.full((len(short), contexts.shape[1] - 23), np.nan), short], axis=1)
    np.testing.assert_allclose(
        backbone.predict_quantiles(padded.astype(np.float32), 8),
        backbone.predict_quantiles(short, 8),
        atol=1e-4,
    )


def test_contexts_shorter_than_the_model_reads(backbone, contexts):
    for short in (contexts[:, -17:], contexts[:, -1:]):
        quantiles = backbone.predict_quantiles(short, 5)
        assert quantiles.shape == (len(contexts), len(backbone.quantile_levels), 5)
        assert np.isfinite(quantiles).all()


def test_steps_before_the_context_length_are_ignored(backbone, contexts):
    if backbone.context_length > 4096:
        pytest.skip("it reads everything")
    length = backbone.context_length
    rng = np.random.default_rng(2)
    exact = rng.normal(size=(2, length)).astype(np.float32)
    longer = np.concatenate([100 + 0 * exact[:, :5], exact], axis=1)
    np.testing.assert_array_equal(backbone.embed(longer), backbone.embed(exact))
    np.testing.assert_array_equal(
        backbone.predict_quantiles(longer, 8), backbone.predict_quantiles(exact, 8)
    )


def test_one_pass_gives_the_same_as_two(backbone, gappy, far):
    keys, quantiles = backbone.encode_and_predict(gappy, far)
    np.testing.assert_array_equal(keys, backbone.embed(gappy))
    np.testing.assert_array_equal(quantiles, backbone.predict_quantiles(gappy, far))


def test_a_shorter_horizon_is_a_slice_of_a_longer_one(backbone, contexts, far):
    longest = backbone.predict_quantiles(contexts, far)
    for horizon in (1, 8, far - 2):
        shorter = backbone.predict_quantiles(contexts, horizon)
        np.testing.assert_allclose(shorter, longest[:, :, :horizon], atol=1e-5, rtol=1e-5)


def test_forecasts_follow_level_and_unit(backbone, contexts, far):
    """Equivariance to ``a x + b`` with a > 0."""
    plain = backbone.predict_quantiles(contexts, far)
    moved = backbone.predict_quantiles(4 * contexts - 30, far)
    np.testing.assert_allclose(moved, 4 * plain - 30, atol=2e-3, rtol=2e-4)


def test_forecasts_follow_the_context(backbone, contexts):
    quantiles = backbone.predict_quantiles(contexts, 8)
    assert (np.abs(np.diff(quantiles, axis=0)).max(axis=(1, 2)) > 1e-3).all()


def test_contexts_are_left_as_they_were(backbone, gappy, far):
    before = gappy.copy()
    backbone.encode_and_predict(gappy, far)
    np.testing.assert_array_equal(gappy, before)


def test_where_contexts_end_does_not_matter_to_it(backbone, contexts):
    count = len(contexts)
    names = np.full(count, "x", dtype=object)
    stamps = np.full(count, np.datetime64("2024-01-01", "ns"))
    origins = Origins(names, names, stamps, np.zeros(count), np.ones(count))
    told = backbone.encode_and_predict(contexts, 3, origins=origins)
    np.testing.assert_array_equal(told.quantiles, backbone.predict_quantiles(contexts, 3))
    np.testing.assert_array_equal(
        told.quantiles, backbone.predict_quantiles(contexts, 3, origins=origins)
    )


@pytest.mark.parametrize("case", ["bolt", "chronos2", "timesfm"])
class TestWeights:
    """What only models with weights keep to."""

    def test_the_kind_is_told_from_the_configuration(self, case, request):
        _, source, options = CASES[case]
        told = load_backbone(request.getfixturevalue(source), **options)
        assert told.fingerprint == load(case, request).fingerprint
        assert type(told) is type(load(case, request))

    def test_another_kind_is_refused(self, case, request):
        other = "timesfm" if case != "timesfm" else "chronos2"
        with pytest.raises(BackboneError, match=f"not {other}"):
            load_backbone(request.getfixturevalue(CASES[case][1]), kind=other)

    def test_a_device_that_is_not_there_is_refused_at_once(self, case, request, monkeypatch):
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
        with pytest.raises(BackboneError, match="no CUDA device: use cpu"):
            load_backbone(request.getfixturevalue(CASES[case][1]), device="cuda")
        with pytest.raises(BackboneError, match="no CUDA device: use cpu"):
            load_backbone("nobody/has-this", device="cuda:1")

    def test_bfloat16_weights_give_nearly_the_same_in_float32(self, case, request, contexts):
        exact = load(case, request)
        folder = request.getfixturevalue(CASES[case][1])
        coarse = load_backbone(folder, dtype="bfloat16")
        assert (exact.dtype, coarse.dtype) == ("float32", "bfloat16")
        assert coarse.fingerprint != exact.fingerprint
        keys, quantiles = coarse.encode_and_predict(contexts, 20)
        assert keys.dtype == quantiles.dtype == np.float32
        expected = exact.predict_quantiles(contexts, 20)
        error = np.abs(quantiles - expected).mean() / expected.std()
        assert 0 < error < 0.05
        assert load_backbone(folder, dtype="auto").fingerprint == exact.fingerprint

    @pytest.fixture
    def length(self):
        return 32

    def test_what_changes_forecasts_is_in_the_fingerprint(self, case, request):
        folder = request.getfixturevalue(CASES[case][1])
        found = [
            load_backbone(folder, **options).fingerprint
            for options in (
                {},
                {"rollout": "quantile"},
                {"dtype": "bfloat16"},
                {"quantile_levels": (0.3, 0.5)},
            )
        ]
        assert len(set(found)) == len(found)
        assert load_backbone(folder, batch_size=3).fingerprint == found[0]

    def test_the_size_of_its_own_batches_does_not_matter(self, case, request, contexts):
        folder = request.getfixturevalue(CASES[case][1])
        one, all_ = (
            load_backbone(folder, batch_size=size).encode_and_predict(contexts, 35)
            for size in (2, 64)
        )
        np.testing.assert_allclose(one.keys, all_.keys, atol=1e-5)
        np.testing.assert_allclose(one.quantiles, all_.quantiles, atol=1e-5, rtol=1e-5)

    @pytest.mark.parametrize("option", [{"rollout": "mean"}, {"dtype": "float16"}])
    def test_unknown_settings_are_refused(self, case, request, option):
        with pytest.raises(BackboneError, match="is not one of"):
            load_backbone(request.getfixturevalue(CASES[case][1]), **option)

    def test_the_model_is_frozen(self, case, request):
        model = load(case, request)._model
        assert not model.training
        assert not any(parameter.requires_grad for parameter in model.parameters())


class TestPrecomputed:
    """What of the contract applies to forecasts that are looked up by where contexts end."""

    HORIZON = 12

    @pytest.fixture
    def length(self):
        return 32

    @pytest.fixture
    def backbone(self, tmp_path):
        stamps = np.datetime64("2024-01-01", "ns") + np.arange(9) * np.timedelta64(1, "h")
        table = pd.DataFrame({"cutoff": np.repeat(stamps, self.HORIZON)})
        table["step"] = np.tile(np.arange(1, self.HORIZON + 1), 9)
        draws = np.sort(np.random.default_rng(0).normal(size=(len(table), 3)), axis=1)
        table[["0.1", "0.5", "0.9"]] = draws
        path = tmp_path / "table.parquet"
        table.sample(frac=1, random_state=0).to_parquet(path)
        return load_backbone(path, quantile_levels=(0.1, 0.3, 0.5, 0.9))

    @pytest.fixture
    def origins(self):
        names = np.full(9, "x", dtype=object)
        stamps = np.datetime64("2024-01-01", "ns") + np.arange(9) * np.timedelta64(1, "h")
        return Origins(names, names, stamps, np.zeros(9), np.ones(9))

    @staticmethod
    def rows_of(origins, rows):
        return Origins(*(values[rows] for values in origins))

    def test_it_says_what_it_is(self, backbone):
        assert isinstance(backbone, Backbone)
        assert len(backbone.fingerprint) == 16
        assert backbone.native_horizon == self.HORIZON
        assert backbone.needs_origins is True
        assert isinstance(backbone.pretraining_data, PretrainingData)
        assert all([backbone.name, backbone.licence, backbone.pretraining_data.description])

    def test_shapes_types_and_order(self, backbone, gappy, origins):
        keys, quantiles = backbone.encode_and_predict(gappy, self.HORIZON, origins=origins)
        assert quantiles.shape == (9, 4, self.HORIZON)
        assert len(keys) == 9
        assert keys.dtype == quantiles.dtype == np.float32
        assert (np.diff(quantiles, axis=1) >= 0).all()
        assert np.isfinite(keys).all()

    def test_the_answer_does_not_depend_on_the_batch(self, backbone, gappy, origins):
        whole = backbone.encode_and_predict(gappy, 5, origins=origins)
        shuffled = np.random.default_rng(1).permutation(9)
        for rows in (*np.arange(9)[:, None], np.arange(7), shuffled):
            part = self.rows_of(origins, rows)
            keys, quantiles = backbone.encode_and_predict(gappy[rows], 5, origins=part)
            np.testing.assert_array_equal(keys, whole.keys[rows])
            np.testing.assert_array_equal(quantiles, whole.quantiles[rows])

    def test_one_pass_gives_the_same_as_two(self, backbone, gappy, origins):
        before = gappy.copy()
        keys, quantiles = backbone.encode_and_predict(gappy, 5, origins=origins)
        np.testing.assert_array_equal(keys, backbone.embed(gappy))
        found = backbone.predict_quantiles(gappy, 5, origins=origins)
        np.testing.assert_array_equal(quantiles, found)
        np.testing.assert_array_equal(gappy, before)

    def test_a_shorter_horizon_is_a_slice_of_a_longer_one(self, backbone, contexts, origins):
        longest = backbone.predict_quantiles(contexts, self.HORIZON, origins=origins)
        for horizon in (1, 8, self.HORIZON - 2):
            shorter = backbone.predict_quantiles(contexts, horizon, origins=origins)
            np.testing.assert_array_equal(shorter, longest[:, :, :horizon])

    def test_forecasts_follow_level_and_unit(self, backbone, contexts, origins):
        plain = backbone.predict_quantiles(contexts, 5, origins=origins)
        moved = origins._replace(loc=np.full(9, 7.5), scale=np.full(9, 0.25))
        found = backbone.predict_quantiles(4 * contexts - 30, 5, origins=moved)
        np.testing.assert_allclose(found, 4 * plain - 30, atol=1e-4)
