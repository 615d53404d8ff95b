"""What the gates study tunes, and what it leaves as it is configured."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from tsmemory.memory.config import FusionConfig, ObjectiveConfig
from tsmemory.retrieval.embargo import Embargo
from tsmemory.retrieval.keys import KeyKind
from tsmemory.teacher.alignment import Alignment
from tsmemory.teacher.confidence import ConfidenceKind
from tsmemory.teacher.quantiles import QuantileMethod
from tsmemory.teacher.rerank import Rerank

_OBJECTIVE = ("align", "delta", "anchor", "gamma", "confidence_threshold", "margin")
_FUSION = (
    "block",
    "shrinkage",
    "training_weight",
    "last_value",
    "seasonal_naive",
    "long_run",
    "residuals",
    "groups",
)


@dataclass(frozen=True)
class CalibrationSettings:
    """How the teacher's spread is calibrated.

    Attributes:
        enabled: Whether it is.
        block: Steps that share a factor.
        folds: Stretches of training time; a query's factor is found outside of its own.
        queries: At most this many training queries are looked at.
    """

    enabled: bool = True
    block: int = 24
    folds: int = 4
    queries: int = 2000


@dataclass(frozen=True)
class TeacherSettings:
    """The teacher as it is configured; names are those of the parameters of ``teacher``.

    Attributes:
        k: Neighbours of each query.
        k_min: With fewer a query has confidence 0.
        temperature: tau of the weights.
        embargo: What a query may not see.
        shift_length: m, the last points that a neighbour is shifted to agree on.
        alignment: To the query's level, or to its scale as well.
        quantile_method: Definition of the weighted quantile.
        confidence: How far a query is trusted.
        rerank_pool: K0 neighbours by key that are re-ranked; 0 does not.
        shard_size: Queries that are searched at a time.
        calibration: How the spread is calibrated.
    """

    k: int = 20
    k_min: int = 5
    temperature: float = 0.12
    embargo: Embargo = "overlap"
    shift_length: int = 16
    alignment: Alignment = "shift"
    quantile_method: QuantileMethod = "midpoint"
    confidence: ConfidenceKind = "max_weight"
    rerank_pool: int = 0
    shard_size: int = 8192
    calibration: CalibrationSettings = field(default_factory=CalibrationSettings)

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """Take what is known here from the parameters of ``teacher``."""
        known = {item.name: values[item.name] for item in fields(cls) if item.name in values}
        given = known.get("calibration")
        if isinstance(given, Mapping):
            known["calibration"] = CalibrationSettings(**given)
        return cls(**known)

    @property
    def rerank(self) -> Rerank | None:
        """How a larger pool is narrowed down, if it is."""
        if not self.rerank_pool:
            return None
        return Rerank(self.rerank_pool, self.shift_length, self.alignment)


@dataclass(frozen=True)
class GateSettings:
    """What a trial tries.

    Attributes:
        key_kind: What windows are compared by.
        k: Neighbours of each query.
        temperature: tau of their weights.
        objective: Loss weights and gates of the distillation.
        fusion: Form of the fusion and its input gate.
    """

    key_kind: KeyKind
    k: int
    temperature: float
    objective: ObjectiveConfig
    fusion: FusionConfig

    def overrides(self) -> dict[str, Any]:
        """Values for parameters, by pipeline, as ``indexing``, ``teacher``, ``distillation`` take.

        Returns:
            Plain values; what the study does not tune is not among them.
        """
        fusion = {name: getattr(self.fusion, name) for name in _FUSION}
        return {
            "indexing": {"key_kind": self.key_kind},
            "teacher": {"k": self.k, "temperature": self.temperature},
            "distillation": {
                "objective": {name: getattr(self.objective, name) for name in _OBJECTIVE},
                "fusion": {**fusion, "gate": asdict(self.fusion.gate)},
            },
        }
