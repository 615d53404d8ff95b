"""Parameters of the pipeline ``windowing``."""

from typing import Annotated

from pydantic import Field, field_validator

from tsmemory.pipelines.base_params import Listed, Params

Stride = Annotated[int, Field(ge=1)]


class StrideParams(Params):
    """Steps between consecutive windows of each split.

    Attributes:
        datastore: Training windows that are stored and can be neighbours.
        train: Training windows that the adapter learns from.
        validation: Windows on which settings are chosen.
        test: Windows on which everything is judged; benchmarks use 1.
    """

    datastore: Stride = 1
    train: Stride = 1
    validation: Stride = 1
    test: Stride = 1


class WindowingParams(Params):
    """Which windows there are.

    Attributes:
        context_length: L, steps of context.
        horizons: Horizons in steps; one model serves all of them.
        strides: Steps between windows.
        max_missing_share: Windows with a larger share of missing values are left out.
    """

    context_length: Annotated[int, Field(ge=8)] = 512
    horizons: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1), Listed] = (
        24,
        96,
    )
    strides: StrideParams = StrideParams()
    max_missing_share: Annotated[float, Field(ge=0, lt=1)] = 0.3

    @field_validator("horizons")
    @classmethod
    def _increasing(cls, horizons: tuple[int, ...]) -> tuple[int, ...]:
        if list(horizons) != sorted(set(horizons)):
            raise ValueError(f"horizons must increase, got {list(horizons)}")
        return horizons

    @property
    def longest(self) -> int:
        """The longest horizon."""
        return max(self.horizons)
