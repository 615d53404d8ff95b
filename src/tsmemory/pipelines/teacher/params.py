"""Parameters of the pipeline ``teacher``."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tsmemory.pipelines.base_params import WITHOUT_EFFECT, Params


class CalibrationParams(Params):
    """How the teacher's spread is calibrated.

    Attributes:
        enabled: Off teaches the spread as it is retrieved, which is far too narrow.
        block: Steps that share a factor.
        folds: Stretches of training time; a query's factor is found outside of its own.
        queries: At most this many training queries are looked at.
    """

    enabled: bool = True
    block: Annotated[int, Field(ge=1)] = 24
    folds: Annotated[int, Field(ge=2)] = 4
    queries: Annotated[int, Field(ge=1)] = 2000


class TeacherParams(Params):
    """How neighbours become quantile targets.

    Attributes:
        k: Neighbours of each query.
        k_min: With fewer admissible neighbours a query has confidence 0.
        rerank_pool: K0, neighbours by key of which the K whose aligned contexts differ least from
            the query's are taken; 0 takes the K nearest by key.
        temperature: tau of the weights, in units of scaled keys.
        embargo: What a query may not see; ``self`` leaks and only reproduces the published setting.
        shift_length: m, the last points that a neighbour is shifted to agree on.
        alignment: ``shift`` brings a neighbour to the query's level, ``affine`` to its scale too.
        quantile_method: Definition of the weighted quantile.
        confidence: How far a query is trusted: ``max_weight``, ``effective`` neighbours,
            ``entropy`` of the weights, or ``distance`` of the nearest neighbour.
        calibration: How the spread is calibrated.
        device: Torch device that searches neighbours and forms quantiles; ``cpu`` searches with
            faiss, any other by exact matrix products.
        shard_size: Queries in a shard; a killed run resumes at the shard it was at.
        diagnosis_queries: At most this many training queries, and as many of validation, are
            looked at in the diagnosis.
    """

    k: Annotated[int, Field(ge=1)] = 20
    k_min: Annotated[int, Field(ge=1)] = 5
    rerank_pool: Annotated[int, Field(ge=0)] = 0
    temperature: Annotated[float, Field(gt=0)] = 0.12
    embargo: Literal["overlap", "causal", "self"] = "overlap"
    shift_length: Annotated[int, Field(ge=1)] = 16
    alignment: Literal["shift", "affine"] = "shift"
    quantile_method: Literal["midpoint", "published"] = "midpoint"
    confidence: Literal["max_weight", "effective", "entropy", "distance"] = "max_weight"
    calibration: CalibrationParams = CalibrationParams()
    device: Annotated[str, Field(pattern=r"^(cpu|mps|cuda(:\d+)?)$")] = "cpu"
    shard_size: Annotated[int, Field(ge=1), WITHOUT_EFFECT] = 8192
    diagnosis_queries: Annotated[int, Field(ge=1)] = 2000

    @model_validator(mode="after")
    def _k_min_within_k(self) -> Self:
        if self.k_min > self.k:
            raise ValueError(f"k_min ({self.k_min}) must not exceed k ({self.k})")
        return self

    @model_validator(mode="after")
    def _k_within_pool(self) -> Self:
        if 0 < self.rerank_pool < self.k:
            raise ValueError(
                f"k ({self.k}) must not exceed rerank_pool ({self.rerank_pool}); 0 is no re-ranking"
            )
        return self
