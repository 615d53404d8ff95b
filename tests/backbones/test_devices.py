import numpy as np
import pytest
import torch

from tsmemory.backbones import BackboneError, load_backbone
from tsmemory.backbones.devices import check_device, dtype_on


@pytest.mark.parametrize("name", ["gpu", "cuda:x"])
def test_unknown_devices_are_refused(name):
    with pytest.raises(BackboneError, match="use cpu, cuda or mps"):
        check_device(name)


def test_missing_devices_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert check_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(BackboneError, match="there are 2: use cuda:0 to cuda:1"):
        check_device("cuda:2")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(BackboneError, match="'mps' was asked for, but there is none"):
        check_device("mps")


@pytest.mark.parametrize(
    ("device", "dtype", "expected"),
    [
        ("cpu", "auto", torch.float32),
        ("mps", "auto", torch.float32),
        ("cuda", "auto", torch.bfloat16),
        ("cuda:1", "float32", torch.float32),
        ("cpu", "bfloat16", torch.bfloat16),
    ],
)
def test_the_type_follows_the_device_unless_it_is_chosen(device, dtype, expected):
    assert dtype_on(torch.device(device), dtype) == expected


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("fixture", ["tiny_bolt", "tiny_chronos2", "tiny_timesfm"])
def test_a_gpu_says_nearly_what_the_cpu_says(fixture, request):
    folder = request.getfixturevalue(fixture)
    contexts = np.random.default_rng(0).normal(size=(5, 32)).astype(np.float32)
    contexts[0, :9] = np.nan
    contexts[1] = np.nan
    expected = load_backbone(folder).encode_and_predict(contexts, 35)
    for dtype, tolerance in (("float32", 1e-3), ("auto", 0.05)):
        backbone = load_backbone(folder, device="cuda", dtype=dtype)
        assert backbone.device.startswith("cuda")
        found = backbone.encode_and_predict(contexts, 35)
        assert found.quantiles.dtype == np.float32
        for ours, theirs in zip(found, expected, strict=True):
            assert np.abs(ours - theirs).mean() < tolerance * np.abs(theirs).mean()
