import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import LEVELS, save_tiny_bolt
from tiny_models import save_tiny_chronos2
from tsmemory.backbones import load_backbone
from tsmemory.trace.config import HEAD_KINDS, HeadConfig
from tsmemory.trace.encoder import PatchEncoder
from tsmemory.trace.errors import TraceError
from tsmemory.trace.heads import (
    build_head,
    build_native_head,
    linear_parameter_count,
    trainable_parameter_count,
)

N, D, H = 4, 16, 12
OWN = [kind for kind in HEAD_KINDS if kind != "native"]


def head_of(kind="low_rank", *, levels="quantile", horizon=H, native=None, **sizes):
    torch.manual_seed(0)
    config = HeadConfig(
        kind=kind, levels=levels, loss="squared", **{"width": 3, "rank": 2, **sizes}
    )
    return build_head(config, tokens=N, width=D, horizon=horizon, levels=LEVELS, native=native)


@pytest.fixture(scope="module")
def bolt(tmp_path_factory):
    return load_backbone(save_tiny_bolt(tmp_path_factory.mktemp("weights") / "bolt"))


@pytest.fixture
def tokens():
    return torch.from_numpy(np.random.default_rng(0).normal(0, 2, (5, N, D)).astype(np.float32))


@pytest.mark.parametrize("kind", OWN)
def test_quantiles_ascend_and_shorter_horizons_are_slices(kind, tokens):
    head = head_of(kind)
    torch.nn.init.normal_(head.widths.effect.weight)
    quantiles = head(tokens)
    assert quantiles.shape == (5, len(LEVELS), H)
    assert (quantiles.diff(dim=1) > 0).all()
    torch.testing.assert_close(quantiles[:, LEVELS.index(0.5)], head.point(tokens))
    torch.testing.assert_close(head(tokens, 7), quantiles[:, :, :7])


@pytest.mark.parametrize("kind", OWN)
def test_a_head_of_one_point_answers_with_it(kind, tokens):
    head = head_of(kind, levels="point")
    assert head.widths is None
    torch.testing.assert_close(head(tokens), head.point(tokens)[:, None])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0.001, 50), min_size=8, max_size=8))
def test_widths_start_at_what_they_are_given(widths):
    head = head_of("pooling", horizon=2)
    given_widths = torch.tensor(widths)[:, None].expand(-1, 2)
    head.widths.start_from(given_widths)
    found = head(torch.randn(3, N, D)).diff(dim=1)
    torch.testing.assert_close(found, given_widths.expand(3, -1, -1), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("linear", N * D * H + H),
        ("truncation", N * 3 * H + H),
        ("pooling", N * 3 * H + H),
        ("projection", D * 3 + N * 3 * H + H),
        ("depthwise", D * 5 + D * 3 + N * 3 * H + H),
        ("low_rank", N * D * 2 + 2 * H + H),
    ],
)
def test_parameters_of_the_point_forecast(kind, expected):
    assert trainable_parameter_count(head_of(kind, levels="point", kernel=5)) == expected
    spread = (len(LEVELS) - 1) * (H + D)
    assert trainable_parameter_count(head_of(kind, kernel=5)) == expected + spread


def test_parameters_of_the_published_sizes():
    assert linear_parameter_count(64, 768, 96) == 4_718_688
    assert linear_parameter_count(64, 768, 720) == 35_390_160


@pytest.mark.parametrize("kind", ["projection", "truncation", "pooling", "depthwise", "low_rank"])
def test_a_reconstructed_head_has_a_tenth_of_the_parameters(kind):
    config = HeadConfig(kind=kind)
    head = build_head(config, tokens=8, width=256, horizon=720, levels=LEVELS)
    assert trainable_parameter_count(head) <= 0.1 * linear_parameter_count(8, 256, 720)


def test_depthwise_is_a_convolution_over_patches_of_each_feature(tokens):
    reduce = head_of("depthwise", kernel=3).reduce
    torch.nn.init.normal_(reduce.kernels)
    padded = np.pad(tokens.numpy(), ((0, 0), (1, 1), (0, 0)))
    kernels = reduce.kernels.detach().numpy()[:, 0]  # (D, kernel)
    mixed = sum(kernels[:, k] * padded[:, k : k + N] for k in range(3))
    expected = mixed @ reduce.directions.weight.detach().numpy().T
    np.testing.assert_allclose(
        reduce(tokens).detach().numpy(), expected.reshape(5, -1), atol=1e-5, rtol=1e-5
    )


def test_the_native_head_is_the_backbone(bolt):
    contexts = np.random.default_rng(3).normal(7, 2, (6, 32)).astype(np.float32)
    contexts[2, :11] = np.nan
    encoder = PatchEncoder(bolt._model, 32, reading="decoder")
    head = build_native_head(HeadConfig(kind="native"), encoder, 8)
    states, loc, scale = encoder(torch.from_numpy(contexts))
    quantiles = loc[:, None] + scale[:, None] * head(states)
    np.testing.assert_allclose(
        quantiles.detach().numpy(), bolt.predict_quantiles(contexts, 8), atol=1e-5
    )
    assert trainable_parameter_count(head) == 0
    assert not head.state_dict()


@pytest.mark.parametrize("arcsinh", [False, True])
def test_the_native_head_of_chronos2_is_the_backbone(tmp_path, arcsinh):
    backbone = load_backbone(save_tiny_chronos2(tmp_path / "chronos2", use_arcsinh=arcsinh))
    contexts = np.random.default_rng(3).normal(7, 2, (3, 32)).astype(np.float32)
    encoder = PatchEncoder(backbone._model, 32, reading="decoder")
    head = build_native_head(HeadConfig(kind="native"), encoder, backbone.native_horizon)
    states, loc, scale = encoder(torch.from_numpy(contexts))
    quantiles = loc[:, None] + scale[:, None] * head(states)
    expected = backbone.predict_quantiles(contexts, backbone.native_horizon)
    np.testing.assert_allclose(quantiles.detach().numpy(), expected, atol=1e-4)


def test_a_head_may_correct_the_backbone_as_far_as_that_forecasts(bolt):
    encoder = PatchEncoder(bolt._model, 32, reading="both")
    native = build_native_head(HeadConfig(kind="native"), encoder, 8)
    head = head_of("low_rank", native=native)
    tokens = encoder(torch.randn(5, 32)).tokens
    head.skip.fill_(0.25)
    assert tokens.shape[1] == N + 1
    alone = head_of("low_rank").point(tokens[:, :N])
    expected = alone.clone()
    expected[:, :8] += 0.25 * native(tokens[:, N:])[:, LEVELS.index(0.5)]
    torch.testing.assert_close(head.point(tokens), expected)
    assert (head(tokens).diff(dim=1) > 0).all()
    assert trainable_parameter_count(head) == trainable_parameter_count(head_of("low_rank"))
    assert set(head.state_dict()) - set(head_of("low_rank").state_dict()) == {"skip"}


def test_what_does_not_fit_is_refused(bolt, tokens):
    with pytest.raises(TraceError, match="width is 17, but the backbone's tokens have 16"):
        head_of("projection", width=17)
    with pytest.raises(TraceError, match="use build_native_head"):
        head_of("native")
    with pytest.raises(TraceError, match="1 to 12 steps, not 13"):
        head_of()(tokens, 13)
    with pytest.raises(TraceError, match=r"must increase and hold 0\.5"):
        build_head(HeadConfig(), tokens=N, width=D, horizon=H, levels=(0.1, 0.9))
    with pytest.raises(TraceError, match="reads decoder states"):
        build_native_head(HeadConfig(kind="native"), PatchEncoder(bolt._model, 32), 8)
    encoder = PatchEncoder(bolt._model, 32, reading="decoder")
    with pytest.raises(TraceError, match="forecasts 8 steps in one pass, not 9"):
        build_native_head(HeadConfig(kind="native"), encoder, 9)
