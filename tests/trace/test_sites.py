import pytest
from adapted import adapted, small_bolt
from torch import nn

from tiny_models import save_tiny_chronos2, save_tiny_timesfm
from tsmemory.trace.errors import TraceError
from tsmemory.trace.sites import lora_sites, sites_named


@pytest.fixture(scope="module")
def chronos2(tmp_path_factory):
    from chronos.chronos2 import Chronos2Model

    return Chronos2Model.from_pretrained(save_tiny_chronos2(tmp_path_factory.mktemp("chronos2")))


def test_the_sites_of_a_bolt_model_are_its_encoders_linear_layers():
    model = small_bolt(layers=2)

    sites = lora_sites(model)

    linear = [
        name for name, module in model.encoder.named_modules() if isinstance(module, nn.Linear)
    ]
    assert [site.name for site in sites] == [f"encoder.{name}" for name in linear]
    assert [site.kind for site in sites] == ["q", "k", "v", "o", "wi", "wo"] * 2
    assert [site.layer for site in sites] == [0] * 6 + [1] * 6
    assert (sites[4].in_features, sites[4].out_features) == (16, 32)
    assert sites[4].parameters(rank=2) == 2 * (16 + 32)


def test_chronos2_offers_of_its_attention_across_series_what_can_matter(chronos2):
    sites = lora_sites(chronos2)

    assert [site.kind for site in sites[:8]] == [
        *["q", "k", "v", "o"],
        *["group_v", "group_o"],
        *["wi", "wo"],
    ]
    assert len(sites) == 16
    assert {site.row_axis for site in sites if site.kind.startswith("group")} == {1}
    assert all(isinstance(chronos2.get_submodule(site.name), nn.Linear) for site in sites)


def test_other_models_are_refused(tmp_path):
    from transformers import TimesFm2_5ModelForPrediction

    timesfm = TimesFm2_5ModelForPrediction.from_pretrained(save_tiny_timesfm(tmp_path / "fm"))

    with pytest.raises(TraceError, match=r"TimesFm2_5ModelForPrediction .* chronos_bolt"):
        lora_sites(timesfm)
    with pytest.raises(TraceError, match="Sequential has no T5-style encoder"):
        lora_sites(nn.Sequential(nn.Linear(2, 2)))


def test_an_adapted_model_is_refused():
    model = small_bolt()
    adapted(model)

    with pytest.raises(TraceError, match="adapted already"):
        lora_sites(model)


def test_sites_are_picked_by_name_in_the_order_of_the_names():
    sites = lora_sites(small_bolt())

    assert sites_named(sites, [sites[3].name, sites[0].name]) == (sites[3], sites[0])
    with pytest.raises(TraceError, match="'elsewhere'"):
        sites_named(sites, ["elsewhere"])
