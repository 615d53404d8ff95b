import json

import pytest
import torch
from adapted import adapted, forecast, small_bolt, some_contexts, vary_gates
from safetensors.torch import load, save

from tsmemory.trace.errors import TraceError
from tsmemory.trace.gates import GatedLora
from tsmemory.trace.sites import lora_sites

CONTEXTS = some_contexts(6)


def test_saved_and_loaded_it_forecasts_the_same():
    gated = adapted(small_bolt(layers=2), rank=3, alpha=0.5)
    vary_gates(gated)
    gated.close(gated.names[4:7])
    config, state = json.dumps(gated.config()), save(gated.state_dict())

    other = GatedLora.from_config(small_bolt(layers=2), json.loads(config))
    other.load_state_dict(load(state))

    assert other.open_names == gated.open_names
    assert other.parameter_count() == gated.parameter_count()
    assert torch.equal(forecast(other.model, CONTEXTS), forecast(gated.model, CONTEXTS))
    gated.reopen(gated.names)
    other.reopen(other.names)
    assert torch.equal(forecast(other.model, CONTEXTS), forecast(gated.model, CONTEXTS))


def test_the_open_sites_alone_are_enough_to_forecast():
    gated = adapted(small_bolt(layers=2))
    gated.close(gated.names[::2])

    other = GatedLora.from_config(small_bolt(layers=2), gated.config(open_only=True))
    other.load_state_dict(gated.state_dict(open_only=True))

    assert other.names == gated.open_names
    assert torch.equal(forecast(other.model, CONTEXTS), forecast(gated.model, CONTEXTS))


def test_what_does_not_fit_is_refused():
    gated = adapted(small_bolt(layers=2))
    config, state = gated.config(), gated.state_dict()

    with pytest.raises(TraceError, match=r"no layer 'encoder\.block\.1"):
        GatedLora.from_config(small_bolt(layers=1), config)
    with pytest.raises(TraceError, match="config is damaged"):
        GatedLora.from_config(small_bolt(layers=2), {"ranks": 3})
    other = GatedLora.attach(small_bolt(layers=2), gated.sites, rank=3, seed=0)
    with pytest.raises(TraceError, match=r"lora_A is \(2, 16\), expected \(3, 16\)"):
        other.load_state_dict(state)
    with pytest.raises(TraceError, match=r"gate is absent, expected \(1,\)"):
        other.load_state_dict({k: v for k, v in other.state_dict().items() if "lora_A" in k})
    with pytest.raises(TraceError, match=r"shape \(4,\) does not fit"), gated.masked(torch.ones(4)):
        pass
    with pytest.raises(TraceError, match="'elsewhere' is not an adapted layer"):
        gated.close(["elsewhere"])
    with pytest.raises(TraceError, match="adapted already"):
        GatedLora.attach(gated.model, gated.sites, seed=0)


def test_ranks_and_sites_have_to_agree():
    model = small_bolt()
    sites = lora_sites(model)

    with pytest.raises(TraceError, match="no site to adapt"):
        GatedLora.attach(model, [], seed=0)
    with pytest.raises(TraceError, match="in one of them only"):
        GatedLora.attach(model, sites, rank={sites[0].name: 2}, seed=0)
    with pytest.raises(TraceError, match="rank 0 of"):
        GatedLora.attach(model, sites, rank=0, seed=0)


def test_a_seed_gives_the_same_matrices_and_leaves_the_global_one_alone():
    torch.manual_seed(7)
    due = torch.rand(3)
    torch.manual_seed(7)
    states = []
    for seed in (0, 0, 1):
        model = small_bolt()
        states.append(GatedLora.attach(model, lora_sites(model), seed=seed).state_dict())

    assert torch.equal(torch.rand(3), due)
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    key = next(iter(states[0]))
    assert not torch.equal(states[0][key], states[2][key])
    assert 0.8 / 4 < float(states[0][key].abs().max()) <= 1 / 4
