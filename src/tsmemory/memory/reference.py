"""What a memory is judged beside: the same forecaster without it."""

from tsmemory.memory.forecaster import MemoryForecaster
from tsmemory.memory.fusion import Fusion


def without_memory(forecaster: MemoryForecaster) -> MemoryForecaster:
    """A forecaster with the same frozen backbone and a memory that has no part in its forecasts.

    Args:
        forecaster: Any forecaster.

    Returns:
        Another one, whose forecasts are the backbone's.
    """
    blocks = len(forecaster.fusion.location)
    idle = Fusion(forecaster.fusion.block, (0.0,) * blocks, (0.0,) * blocks, (1.0,) * blocks)
    return MemoryForecaster(
        forecaster.backbone,
        forecaster.adapter,
        idle,
        forecaster.series,
        backbone_source=forecaster.backbone_source,
        domain=forecaster.domain,
        backbone_options=forecaster.backbone_options,
    )
