"""Settings of data-parallel training, free of heavy imports."""

from dataclasses import dataclass
from typing import ClassVar, Literal

_STRICT: dict[str, str] = {"extra": "forbid"}


@dataclass(frozen=True)
class CommunicationConfig:
    """How ranks exchange gradients (METHOD 3). The defaults are those of plain DDP.

    Attributes:
        reduce: ``plain`` all-reduce over all ranks; ``hierarchical``: a sum inside each group, an
            all-reduce among the groups' leaders, and a broadcast inside each group; ``hybrid``:
            hierarchical for small buckets and plain for large ones. All three give the same mean.
        group_size: Ranks in a group, consecutive ones; ``None`` takes the ranks of one machine.
        hybrid_mb: Buckets of at most this many MiB are small.
        bucket_cap_mb: Gradients are packed into buckets of this many MiB, each sent at once.
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
    bucket_cap_mb: float = 25.0
    compression: Literal["none", "fp16", "powersgd"] = "none"
    powersgd_rank: int = 2
    powersgd_start: int = 100
    average_every: int = 1
    average_after: int = 100
    timeout_minutes: float = 60.0

    def __post_init__(self) -> None:
        for name in ("hybrid_mb", "bucket_cap_mb", "powersgd_rank", "timeout_minutes"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
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
