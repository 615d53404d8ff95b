"""Parameters of the pipeline ``evaluation``."""

from typing import Annotated

from pydantic import Field

from tsmemory.pipelines.base_params import Listed, Params


class BootstrapParams(Params):
    """Intervals.

    Attributes:
        samples: Moving-block bootstrap samples.
        level: Probability of the intervals.
    """

    samples: Annotated[int, Field(ge=100)] = 1000
    level: Annotated[float, Field(gt=0, lt=1)] = 0.95


class CostParams(Params):
    """Latency.

    Attributes:
        batches: Windows in a call.
    """

    batches: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1), Listed] = (
        1,
        256,
    )


class EvaluationParams(Params):
    """How everything is judged.

    Attributes:
        batch_size: Windows at a time; the values do not depend on it.
        bootstrap: Intervals.
        cost: Latency.
    """

    batch_size: Annotated[int, Field(ge=1)] = 256
    bootstrap: BootstrapParams = BootstrapParams()
    cost: CostParams = CostParams()
