import pytest
import torch
from adapted import adapted, forecast, small_bolt, some_contexts, vary_gates

from tiny_models import save_tiny_chronos2
from tsmemory.trace.errors import TraceError
from tsmemory.trace.gates import GatedLora
from tsmemory.trace.sites import lora_sites


def small_chronos2(folder):
    from chronos.chronos2 import Chronos2Model

    return Chronos2Model.from_pretrained(save_tiny_chronos2(folder)).eval()


@pytest.fixture(params=["chronos_bolt", "chronos2"])
def model(request, tmp_path):
    return small_bolt(layers=2) if request.param == "chronos_bolt" else small_chronos2(tmp_path)


@pytest.fixture
def contexts():
    return some_contexts(6)


def test_at_the_start_the_model_answers_as_before(model, contexts):
    before = forecast(model, contexts)

    gated = GatedLora.attach(model, lora_sites(model), seed=0)

    torch.testing.assert_close(forecast(model, contexts), before, rtol=1e-5, atol=1e-5)
    assert gated.gates.tolist() == [1.0] * len(gated.sites)
    assert not any(gated.pair(name)[1].any() for name in gated.names)


def test_nothing_else_in_the_model_is_trained(model):
    gated = GatedLora.attach(model, lora_sites(model), rank=3, seed=0)

    trained = {id(weight) for weight in model.parameters() if weight.requires_grad}
    assert trained == {id(weight) for weight in gated.parameters()}
    due = sum(3 * (site.in_features + site.out_features) + 1 for site in gated.sites)
    assert gated.parameter_count() == sum(w.numel() for w in gated.parameters()) == due


def test_the_answer_is_that_of_the_adapted_weights(contexts):
    plain, model = small_bolt(layers=2), small_bolt(layers=2)
    gated = adapted(model, alpha=1.7)
    vary_gates(gated)

    with torch.no_grad():
        for number, name in enumerate(gated.names):
            first, second = gated.pair(name)
            weight = plain.get_submodule(name).weight
            weight += gated.gates[number] * 1.7 * second @ first

    torch.testing.assert_close(forecast(model, contexts), forecast(plain, contexts))


def test_gradient_of_a_gate_is_the_inner_product_of_either_matrix_with_its_own(model, contexts):
    gated = adapted(model)
    loss = forecast(model, contexts).square().mean()

    gates, *matrices = torch.autograd.grad(loss, [gated.gates, *gated.matrices()])

    pairs = [gated.pair(name) for name in gated.names]
    by_a = torch.stack(
        [(a * grad).sum() for (a, _), grad in zip(pairs, matrices[::2], strict=True)]
    )
    by_b = torch.stack(
        [(b * grad).sum() for (_, b), grad in zip(pairs, matrices[1::2], strict=True)]
    )
    scale = float(gates.abs().max())
    assert scale > 1e-3
    torch.testing.assert_close(gates / scale, by_a / scale, rtol=0, atol=1e-5)
    torch.testing.assert_close(gates / scale, by_b / scale, rtol=0, atol=1e-5)


def test_a_row_with_its_own_mask_is_forecast_as_if_it_were_alone(model, contexts):
    gated = adapted(model)
    vary_gates(gated)
    masks = (
        torch.rand(6, len(gated.sites), generator=torch.Generator().manual_seed(5)) > 0.5
    ).float()

    with gated.masked(masks):
        together = forecast(model, contexts)

    for row, mask in enumerate(masks):
        with gated.masked(mask):
            alone = forecast(model, contexts[row : row + 1])
        torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-4, atol=1e-5)


def test_after_the_mask_the_gates_are_as_before(contexts):
    gated = adapted(small_bolt())
    before = forecast(gated.model, contexts)

    with gated.masked(torch.zeros(len(gated.sites))):
        inside = forecast(gated.model, contexts)

    assert not torch.allclose(inside, before)
    assert torch.equal(forecast(gated.model, contexts), before)


def test_a_closed_site_is_skipped_and_frozen(contexts):
    gated = adapted(small_bolt())
    chosen = gated.names[2:4]
    mask = torch.tensor([0.0 if name in chosen else 1.0 for name in gated.names])
    with gated.masked(mask):
        due = forecast(gated.model, contexts)
    calls = []
    for name in gated.names:
        layer = gated.model.get_submodule(name).lora_A["trace"]
        layer.register_forward_hook(lambda *_, name=name: calls.append(name))

    gated.close(chosen)
    found = forecast(gated.model, contexts)
    found.square().mean().backward()

    torch.testing.assert_close(found, due)
    assert sorted(calls) == sorted(set(gated.names) - set(chosen))
    assert gated.open_names == tuple(name for name in gated.names if name not in chosen)
    assert gated.gates.grad[2:4].tolist() == [0.0, 0.0]
    for name in chosen:
        assert all(not w.requires_grad and w.grad is None for w in gated.pair(name))
    assert gated.parameter_count() < gated.parameter_count(open_only=False)
    assert not {id(w) for name in chosen for w in gated.pair(name)} & {
        id(w) for w in gated.parameters()
    }


def test_a_site_comes_back_as_it_was_though_the_optimizer_went_on(contexts):
    gated = adapted(small_bolt())
    optimizer = torch.optim.AdamW(
        [*gated.matrices(), gated.gates], lr=0.05, betas=(0.9, 0.99), weight_decay=0.1
    )

    def step():
        optimizer.zero_grad()
        forecast(gated.model, contexts).square().mean().backward()
        optimizer.step()

    step()
    name = gated.names[1]
    before = {key: held for key, held in gated.state_dict().items() if key.startswith(name)}
    gated.close([name])
    step()
    gated.close([name])
    moved = float(gated.gates[1].detach())
    gated.reopen([name])

    assert moved != gated.gates[1].item()
    after = gated.state_dict()
    assert all(torch.equal(after[key], held) for key, held in before.items())
    assert all(w.requires_grad for w in gated.pair(name))
    assert gated.open_names == gated.names


def test_keeping_some_opens_them_and_closes_the_others():
    gated = adapted(small_bolt())
    gated.close(gated.names[:3])

    gated.keep_only(gated.names[2:5])

    assert gated.open_names == gated.names[2:5]
    with gated.all_open():
        assert gated.open_names == gated.names
    assert gated.open_names == gated.names[2:5]


@pytest.mark.parametrize("closed", [0, 2])
def test_merged_weights_forecast_the_same(model, contexts, closed):
    gated = adapted(model)
    vary_gates(gated)
    gated.close(gated.names[:closed])
    before = forecast(model, contexts)

    gated.merge()
    layers = [model.get_submodule(name).lora_A["trace"] for name in gated.names]
    for layer in layers:
        layer.register_forward_hook(lambda *_: pytest.fail("merged LoRA was computed"))
    merged = forecast(model, contexts)

    torch.testing.assert_close(merged, before, rtol=1e-5, atol=1e-5)
    with pytest.raises(TraceError, match="unmerge it first"):
        gated.close(gated.names)
    with pytest.raises(TraceError, match="merged again"):
        gated.merge()
    with pytest.raises(TraceError, match="cannot be masked"), gated.masked(torch.ones(1)):
        pass
    for layer in layers:
        layer._forward_hooks.clear()
    gated.unmerge()
    gated.unmerge()
    torch.testing.assert_close(forecast(model, contexts), before, rtol=1e-5, atol=1e-5)


def test_detaching_gives_the_plain_model_back(model):
    before = {name: held.clone() for name, held in model.state_dict().items()}
    gated = adapted(model)
    gated.close(gated.names[:1])

    assert gated.detach() is model

    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], held) for name, held in before.items())
    assert [site.name for site in lora_sites(model)] == list(gated.names)


def test_names_are_taken_exactly_and_ranks_one_by_one():
    model = small_bolt(layers=12)
    sites = [
        site for site in lora_sites(model) if site.layer in (1, 2) and site.kind in ("q", "wo")
    ]
    ranks = {site.name: 1 + number for number, site in enumerate(sites)}

    gated = GatedLora.attach(model, sites, rank=ranks, seed=0)

    wrapped = [name for name, module in model.named_modules() if hasattr(module, "lora_A")]
    assert wrapped == [site.name for site in sites]
    assert gated.ranks == ranks
    assert [len(gated.pair(name)[0]) for name in gated.names] == [1, 2, 3, 4]


def test_growing_ranks_changes_no_answer(contexts):
    gated = adapted(small_bolt())
    before = forecast(gated.model, contexts)
    name = gated.names[3]

    gated.grow({name: 5}, seed=0)

    torch.testing.assert_close(forecast(gated.model, contexts), before)
    assert gated.ranks[name] == 5
    assert [tuple(w.shape) for w in gated.pair(name)] == [(5, 16), (16, 5)]
    assert all(w.requires_grad for w in gated.pair(name))
    copy = GatedLora.from_config(small_bolt(), gated.config())
    copy.load_state_dict(gated.state_dict())
    torch.testing.assert_close(forecast(copy.model, contexts), before)
    gated.merge()
    torch.testing.assert_close(forecast(gated.model, contexts), before, rtol=1e-5, atol=1e-5)
    gated.unmerge()
    with pytest.raises(TraceError, match="can only grow"):
        gated.grow({name: 4}, seed=0)


def test_matrices_are_float32_on_a_model_of_half_the_precision(contexts):
    model = small_bolt().to(torch.bfloat16)

    gated = GatedLora.attach(model, lora_sites(model), seed=0)

    assert {w.dtype for w in gated.parameters()} == {torch.float32}
    assert forecast(model, contexts).isfinite().all()
