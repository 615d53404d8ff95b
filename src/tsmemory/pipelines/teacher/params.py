"""Parameters of the pipeline ``teacher``."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tsmemory.pipelines.base_params import WITHOUT_EFFECT, Params


class TeacherParams(Params):
    """How neighbours become quantile targets.

    Attributes:
        k: Neighbours of each query.
        k_min: With fewer admissible neighbours a query has confidence 0.
        temperature: tau of the weights, in units of scaled keys.
        embargo: What a query may not see; ``self`` leaks and only reproduces the published setting.
        shift_length: m, the last points that a neighbour is shifted to agree on.
        quantile_method: Definition of the weighted quantile.
        shard_size: Queries in a shard; a killed run resumes at the shard it was at.
        diagnosis_queries: At most this many training queries are looked at in the diagnosis.
    """

    k: Annotated[int, Field(ge=1)] = 20
    k_min: Annotated[int, Field(ge=1)] = 5
    temperature: Annotated[float, Field(gt=0)] = 0.12
    embargo: Literal["overlap", "causal", "self"] = "overlap"
    shift_length: Annotated[int, Field(ge=1)] = 16
    quantile_method: Literal["midpoint", "published"] = "midpoint"
    shard_size: Annotated[int, Field(ge=1), WITHOUT_EFFECT] = 8192
    diagnosis_queries: Annotated[int, Field(ge=1)] = 2000

    @model_validator(mode="after")
    def _k_min_within_k(self) -> Self:
        if self.k_min > self.k:
            raise ValueError(f"k_min ({self.k_min}) must not exceed k ({self.k})")
        return self
