"""Settings of :meth:`MemoryForecaster.fit`, with the defaults of the pipelines."""

from dataclasses import dataclass, field
from typing import Literal

from tsmemory.memory.config import (
    AdapterSizes,
    FusionConfig,
    ObjectiveConfig,
    TrainingConfig,
)
from tsmemory.retrieval.embargo import Embargo
from tsmemory.retrieval.keys import KeyConfig
from tsmemory.teacher.alignment import Alignment
from tsmemory.teacher.confidence import ConfidenceKind
from tsmemory.teacher.quantiles import QuantileMethod


@dataclass(frozen=True)
class StrideConfig:
    """Steps between consecutive windows; fewer where that leaves few windows.

    Attributes:
        datastore: Training windows that are stored and can be neighbours.
        train: Training windows that the adapter learns from.
        validation: Windows on which settings are chosen.
        enough: Windows of a split; with fewer, its stride is shortened. 0 keeps the strides.
    """

    datastore: int = 7
    train: int = 7
    validation: int = 5
    enough: int = 1000

    def __post_init__(self) -> None:
        if min(self.datastore, self.train, self.validation) < 1:
            raise ValueError(f"strides must be at least 1, got {self}")
        if self.enough < 0:
            raise ValueError(f"enough must not be negative, got {self.enough}")

    def by_split(self, training: int, validation: int) -> dict[str, int]:
        """Strides by the names of the splits; nothing is held back for a test.

        Args:
            training: Windows that there are for training, one at each step.
            validation: The same for validation.
        """
        possible = {"datastore": training, "train": training, "validation": validation}
        strides = {"test": 1}
        for split, count in possible.items():
            most = getattr(self, split)
            fitting = count // self.enough if self.enough else most
            strides[split] = max(1, min(most, fitting))
        return strides


@dataclass(frozen=True)
class StoreConfig:
    """How training windows are stored for retrieval.

    Attributes:
        key: What windows are compared by.
        index_kind: ``auto`` is exact for small datastores, approximate above.
        same_channel: Search windows of the query's channel only.
    """

    key: KeyConfig = field(default_factory=KeyConfig)
    index_kind: Literal["auto", "flat", "ivf", "hnsw"] = "auto"
    same_channel: bool = True


@dataclass(frozen=True)
class SpreadConfig:
    """How the teacher's spread is calibrated.

    Attributes:
        enabled: Off teaches the spread as it is retrieved, which is far too narrow.
        block: Steps that share a factor.
        folds: Stretches of training time; a query's factor is found outside of its own.
        queries: At most this many training queries are looked at.
    """

    enabled: bool = True
    block: int = 24
    folds: int = 4
    queries: int = 2000


@dataclass(frozen=True)
class TeacherConfig:
    """How neighbours become quantile targets (METHOD 1.4).

    Attributes:
        k: Neighbours of each query.
        k_min: With fewer admissible neighbours a query has confidence 0.
        rerank_pool: K0, neighbours by key of which the K whose aligned contexts differ least from
            the query's are taken; 0 takes the K nearest by key.
        temperature: tau of the weights, in units of scaled keys.
        embargo: What a query may not see.
        shift_length: m, the last points that a neighbour is shifted to agree on.
        alignment: ``shift`` brings a neighbour to the query's level, ``affine`` to its scale too.
        quantile_method: Definition of the weighted quantile.
        confidence: How far a query is trusted.
        calibration: How the spread is calibrated.
        device: Torch device that searches neighbours and forms quantiles; ``cpu`` searches with
            faiss, any other by exact matrix products.
    """

    k: int = 20
    k_min: int = 5
    rerank_pool: int = 0
    temperature: float = 0.12
    embargo: Embargo = "overlap"
    shift_length: int = 16
    alignment: Alignment = "shift"
    quantile_method: QuantileMethod = "midpoint"
    confidence: ConfidenceKind = "max_weight"
    calibration: SpreadConfig = field(default_factory=SpreadConfig)
    device: str = "cpu"

    def __post_init__(self) -> None:
        if not 1 <= self.k_min <= self.k:
            raise ValueError(f"k_min must lie between 1 and k ({self.k}), got {self.k_min}")
        if 0 < self.rerank_pool < self.k:
            raise ValueError(f"rerank_pool must be 0 or at least k ({self.k})")
        if not self.temperature > 0:
            raise ValueError(f"temperature must be above 0, got {self.temperature}")


@dataclass(frozen=True)
class RidgeConfig:
    """The linear skip.

    Attributes:
        penalties: Penalties to try; validation chooses.
        folds: Stretches of training time left out in turn to fuse out of fold.
    """

    penalties: tuple[float, ...] = (1, 10, 100, 1e3, 3e3, 1e4, 3e4, 1e5, 3e5, 1e6)
    folds: int = 4

    def __post_init__(self) -> None:
        if not self.penalties or min(self.penalties) <= 0:
            raise ValueError(f"penalties must be above 0, got {self.penalties}")


@dataclass(frozen=True)
class FitConfig:
    """Everything that a memory is made by, but for the data, the lengths and the backbone.

    Defaults are those of the pipelines, in their default profile; the published adapter is made by
    the pipelines alone.

    Attributes:
        strides: Steps between windows.
        max_missing_share: Windows with a larger share of missing values are left out.
        store: How training windows are stored.
        teacher: How neighbours become targets.
        ridge: The linear skip.
        adapter: Sizes of the adapter.
        objective: Terms and gates of the objective.
        training: Optimizer and schedule.
        fusion: Candidates, blocks and guard of the fusion.
        shard_size: Windows in a shard; memory is bounded by it, and a killed fit with a cache
            folder goes on at the shard it was at.
    """

    strides: StrideConfig = field(default_factory=StrideConfig)
    max_missing_share: float = 0.3
    store: StoreConfig = field(default_factory=StoreConfig)
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    ridge: RidgeConfig = field(default_factory=RidgeConfig)
    adapter: AdapterSizes = field(default_factory=AdapterSizes)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    fusion: FusionConfig = field(default_factory=FusionConfig)
    shard_size: int = 2048

    def __post_init__(self) -> None:
        if not 0 <= self.max_missing_share < 1:
            raise ValueError(f"max_missing_share must lie in [0, 1), got {self.max_missing_share}")
        if self.objective.form != "paper":
            raise ValueError("objective.form = code belongs to the profile of the pipelines, paper")
