"""Settings of data-parallel training and of shards, free of heavy imports."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

PrecisionKind = Literal["float32", "bfloat16", "float16"]
OptimizerKind = Literal["adamw", "lars", "lamb"]
_STRICT: dict[str, str] = {"extra": "forbid"}
_NO_EFFECT = {"affects_results": False}  # for fingerprints, see tsmemory.runs.parameters


@dataclass(frozen=True)
class CommunicationConfig:
    """How ranks exchange gradients (METHOD 3). The defaults are those of plain DDP.

    Attributes:
        reduce: ``plain`` all-reduce over all ranks; ``hierarchical``: a sum inside each group, an
            all-reduce among the groups' leaders, and a broadcast inside each group; ``hybrid``:
            hierarchical for small buckets and plain for large ones. All three give the same mean.
        group_size: Ranks in a group, consecutive ones; ``None`` takes the ranks of one machine.
        hybrid_mb: Buckets of at most this many MiB are small.
        bucket_cap_mb: Gradients are packed into buckets of this many MiB, each sent at once;
            ``None`` leaves it to DDP, which takes 1 for the first bucket and 25 for the others.
        compression: ``fp16`` halves what is sent. ``powersgd`` sends low-rank factors of matrices
            and keeps what they miss for the next step; it is not exact.
        powersgd_rank: Rank of those factors.
        powersgd_start: Steps before they begin; gradients are sent whole until then.
        average_every: 1 exchanges gradients at every step. Above 1, gradients are exchanged inside
            groups only, and all ranks average their weights every so many steps (post-local SGD).
        average_after: Steps before that begins; gradients go to all ranks until then.
        timeout_minutes: How long a rank waits for the others before it gives up. The first rank
            alone validates and writes, so this must be longer than either takes.
    """

    __pydantic_config__: ClassVar = _STRICT

    reduce: Literal["plain", "hierarchical", "hybrid"] = "plain"
    group_size: int | None = None
    hybrid_mb: float = 1.0
    bucket_cap_mb: float | None = None
    compression: Literal["none", "fp16", "powersgd"] = "none"
    powersgd_rank: int = 2
    powersgd_start: int = 100
    average_every: int = 1
    average_after: int = 100
    timeout_minutes: float = field(default=60.0, metadata=_NO_EFFECT)

    def __post_init__(self) -> None:
        for name in ("hybrid_mb", "bucket_cap_mb", "powersgd_rank", "timeout_minutes"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be above 0, got {value}")
        for name, least in (("average_every", 1), ("average_after", 0), ("powersgd_start", 2)):
            if getattr(self, name) < least:  # DDP lays its buckets out anew after the first step
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.group_size is not None and self.group_size < 1:
            raise ValueError(f"group_size must be at least 1, got {self.group_size}")
        if self.compression == "powersgd" and self.reduce != "plain":
            raise ValueError(
                f"compression powersgd has an all-reduce of its own: with reduce {self.reduce}, "
                "use compression fp16 or none"
            )
        if self.average_every > 1 and (self.reduce, self.compression) != ("plain", "none"):
            raise ValueError(
                "average_every above 1 already spares most of what is sent between groups: leave "
                "reduce at plain and compression at none with it"
            )

    @property
    def by_groups(self) -> bool:
        """Whether groups of ranks are needed."""
        return self.reduce != "plain" or self.average_every > 1

    def check_training(self, *, devices: int, precision: str) -> None:
        """Refuse what a training cannot be exchanged with.

        Args:
            devices: Ranks, unless a launcher counts them.
            precision: In which the training multiplies.

        Raises:
            ValueError: Groups do not come out even, or what overflows would be remembered.
        """
        size = self.group_size
        if self.by_groups and devices > 1 and size is not None and devices % size:
            raise ValueError(
                f"{devices} devices do not fall into groups of {size}: set "
                f"communication.group_size to a divisor of {devices}"
            )
        if self.compression == "powersgd" and precision == "float16":
            raise ValueError(
                "compression powersgd keeps what it misses of gradients, for ever once they "
                "overflow float16: use precision bfloat16 or float32 with it"
            )


@dataclass(frozen=True)
class ShardsConfig:
    """Who works through shards. Results do not depend on it.

    Attributes:
        executor: ``inline``: this process, one shard after another; ``processes``: a pool on this
            machine; ``dask``: a Dask cluster.
        workers: Processes of a pool or of a local Dask cluster, each of one thread; ``None``
            takes one for each processor that this process may use, and a single one for work on
            another device, of which each process would take its own share of memory.
        address: Of the scheduler of a Dask cluster, as in ``tcp://10.0.0.1:8786``; ``None`` starts
            a cluster on this machine.
        retries: Times that a shard is tried again whose worker has failed or died. A cluster at an
            address tries those whose worker has died as often as it is set up to
            (``distributed.scheduler.allowed-failures``).
    """

    __pydantic_config__: ClassVar = _STRICT

    executor: Literal["inline", "processes", "dask"] = field(default="inline", metadata=_NO_EFFECT)
    workers: int | None = field(default=None, metadata=_NO_EFFECT)
    address: str | None = field(default=None, metadata=_NO_EFFECT)
    retries: int = field(default=2, metadata=_NO_EFFECT)

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers must be at least 1, got {self.workers}")
        if self.retries < 0:
            raise ValueError(f"retries must be at least 0, got {self.retries}")
        if self.address is not None and self.executor != "dask":
            raise ValueError(
                f"address belongs to executor dask, and executor is {self.executor}: "
                "set shards.executor=dask, or leave the address out"
            )
        if self.address is not None and self.workers is not None:
            raise ValueError(
                "a cluster at an address has workers of its own: leave workers at null"
            )


IN_THIS_PROCESS = ShardsConfig()
