"""A forecaster without its memory: the frozen backbone, and the original untouched."""

import torch
from forecasters import FULL, H, bundled, make_contexts, make_forecaster

from tsmemory.memory.reference import without_memory


def test_without_memory_the_forecasts_are_the_backbones():
    forecaster, contexts = make_forecaster(FULL), make_contexts()
    before = forecaster.predict_quantiles(contexts, H)[0]
    frozen = without_memory(forecaster)
    bare = torch.from_numpy(bundled().predict_quantiles(contexts, H)).transpose(1, 2)
    torch.testing.assert_close(frozen.predict_quantiles(contexts, H)[0], bare, rtol=1e-4, atol=1e-3)
    assert frozen.fusion.is_idle
    assert not torch.allclose(before, bare, rtol=1e-3)
    assert torch.equal(forecaster.predict_quantiles(contexts, H)[0], before)
