import numpy as np
import pytest
import torch

from builders import save_tiny_bolt
from tiny_models import save_tiny_chronos2
from tsmemory.backbones import load_backbone
from tsmemory.trace.encoder import PatchEncoder
from tsmemory.trace.errors import TraceError

L = 32


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    made = {
        "bolt": save_tiny_bolt(folder / "bolt"),
        "plain": save_tiny_bolt(folder / "plain", reg=False),
        "chronos2": save_tiny_chronos2(folder / "chronos2"),
    }
    return {name: load_backbone(path)._model for name, path in made.items()}


@pytest.fixture
def contexts():
    return torch.from_numpy(np.random.default_rng(1).normal(5, 3, (4, L)).astype(np.float32))


@pytest.mark.parametrize("name", ["bolt", "plain", "chronos2"])
@pytest.mark.parametrize("length", [L, 20, 8])
def test_tokens_are_the_patches_and_nothing_else(models, contexts, name, length):
    encoder = PatchEncoder(models[name], length)
    size = models[name].chronos_config.input_patch_size
    tokens, loc, scale = encoder(contexts)
    assert encoder.tokens == -(-length // size)
    assert tokens.shape == (4, encoder.tokens, encoder.width)
    read = contexts[:, -length:]
    torch.testing.assert_close(loc, read.mean(dim=1, keepdim=True))
    torch.testing.assert_close(scale, read.std(dim=1, correction=0, keepdim=True))


def test_patch_tokens_of_bolt_are_the_encoder_states_before_the_reg_token(models, contexts):
    states = models["bolt"].encode(contexts)[0]
    tokens = PatchEncoder(models["bolt"], L).encode(contexts).tokens
    assert states.shape[1] == tokens.shape[1] + 1
    torch.testing.assert_close(tokens, states[:, :-1])


def test_patch_tokens_of_chronos2_stand_before_reg_token_and_future(models, contexts):
    model = models["chronos2"]
    future = model.chronos_config.max_output_patches
    states = model.encode(context=contexts, num_output_patches=future)[0][0]
    tokens = PatchEncoder(model, L).encode(contexts).tokens
    assert states.shape[1] == tokens.shape[1] + 1 + future
    torch.testing.assert_close(tokens, states[:, : tokens.shape[1]])


@pytest.mark.parametrize("name", ["bolt", "chronos2"])
def test_longer_contexts_are_cut_and_shorter_ones_padded(models, contexts, name):
    encoder = PatchEncoder(models[name], 16)
    whole = encoder(contexts)
    torch.testing.assert_close(whole.tokens, encoder(contexts[:, -16:]).tokens)
    short = contexts[:, -5:]
    padded = torch.nn.functional.pad(short, (11, 0), value=torch.nan)
    torch.testing.assert_close(encoder(short).tokens, encoder(padded).tokens)
    torch.testing.assert_close(encoder(short).loc, short.mean(dim=1, keepdim=True))


@pytest.mark.parametrize("name", ["bolt", "chronos2"])
def test_both_readings_stand_one_behind_the_other(models, contexts, name):
    patches, decoder, both = (
        PatchEncoder(models[name], L, reading=reading) for reading in ("patches", "decoder", "both")
    )
    assert both.tokens == patches.tokens
    apart = torch.cat([patches(contexts).tokens, decoder(contexts).tokens], dim=1)
    torch.testing.assert_close(both(contexts).tokens, apart)


@pytest.mark.parametrize("name", ["bolt", "chronos2"])
def test_rows_do_not_interact(models, contexts, name):
    encoder = PatchEncoder(models[name], L, reading="both")
    torch.testing.assert_close(encoder(contexts).tokens[1:2], encoder(contexts[1:2]).tokens)


@pytest.mark.parametrize("name", ["bolt", "chronos2"])
def test_gradients_reach_the_encoder(models, contexts, name):
    encoder = PatchEncoder(models[name], L)
    weight = next(w for n, w in models[name].encoder.named_parameters() if n.endswith("q.weight"))
    weight.requires_grad_(True)
    contexts[0, :10] = torch.nan
    encoder(contexts).tokens.square().sum().backward()
    assert torch.isfinite(weight.grad).all()
    assert weight.grad.abs().max() > 0
    weight.requires_grad_(False)
    weight.grad = None


@pytest.mark.parametrize("length", [0, 33])
def test_a_length_that_the_backbone_cannot_read_is_refused(models, length):
    with pytest.raises(TraceError, match=f"1 to 32 steps of context, not {length}"):
        PatchEncoder(models["bolt"], length)


def test_another_model_is_refused():
    with pytest.raises(TraceError, match="Linear is neither"):
        PatchEncoder(torch.nn.Linear(2, 2), 8)
