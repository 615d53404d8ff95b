"""Parameters of the pipeline ``scaleout``."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from tsmemory.pipelines.base_params import Listed, Params

Positive = Annotated[int, Field(ge=1)]


class ScaleoutParams(Params):
    """What is measured and what is modelled.

    Attributes:
        ranks: Processes in two groups of equal size, of at least two each.
        steps: Training steps that are timed, for each way to exchange gradients and each link.
        slow_link: Rate of the slow link between the groups, as ``tc`` has it; ``None`` measures on
            the loopback alone. It wants network namespaces, which want root.
        model_ranks: Numbers of ranks of the model.
        model_groups: Sizes of its groups.
    """

    ranks: Annotated[int, Field(ge=4)] = 4
    steps: Positive = 16
    slow_link: Annotated[str, Field(pattern=r"^\d+[kmg]bit$")] | None = "100mbit"
    model_ranks: Annotated[tuple[Positive, ...], Listed] = (
        *(2, 4, 8, 16, 32, 64),
        *(128, 256, 512, 1024, 2048),
    )
    model_groups: Annotated[tuple[Positive, ...], Listed] = (4, 8, 16, 32)

    @model_validator(mode="after")
    def _two_groups(self) -> Self:
        if self.ranks % 2:
            raise ValueError(f"{self.ranks} ranks do not fall into two groups: take an even number")
        return self
