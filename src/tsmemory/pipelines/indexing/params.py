"""Parameters of the pipeline ``indexing`` and of the backbone."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from tsmemory.pipelines.base_params import WITHOUT_EFFECT, Listed, Params

Level = Annotated[float, Field(gt=0, lt=1)]
DECILES = tuple(level / 10 for level in range(1, 10))


class BackboneParams(Params):
    """Which frozen model is adapted.

    Attributes:
        name: ``bundled``, ``seasonal_naive``, a local folder, a hub id, or a CSV or Parquet file of
            forecasts made elsewhere, as the dataset ``forecast_origins`` lists them.
        kind: Which registered kind reads it; told from its ``config.json``, or the ending of a
            file, if not given.
        revision: Branch, tag or commit on the hub.
        device: Torch device.
        dtype: Type of the weights; ``auto`` is bfloat16 on CUDA and float32 elsewhere.
        batch_size: Windows in one pass; forecasts do not depend on it.
        rollout: How horizons beyond the native one are reached (METHOD 1.8).
        quantile_levels: Levels that everything after the backbone works with; its own quantiles are
            interpolated to them. With the same levels the scores of backbones compare.
    """

    name: Annotated[str, Field(min_length=1)] = "bundled"
    kind: str | None = None
    revision: str | None = None
    device: Annotated[str, Field(pattern=r"^(cpu|mps|cuda(:\d+)?)$")] = "cpu"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    batch_size: Annotated[int, Field(ge=1)] = 128
    rollout: Literal["median", "quantile"] = "median"
    quantile_levels: Annotated[tuple[Level, ...], Field(min_length=1), Listed] = DECILES

    @field_validator("kind")
    @classmethod
    def _registered(cls, kind: str | None) -> str | None:
        from tsmemory.backbones.registry import backbone_kinds

        if kind is not None and kind not in backbone_kinds():
            raise ValueError(f"unknown kind; known: {', '.join(backbone_kinds())}")
        return kind

    @field_validator("quantile_levels")
    @classmethod
    def _ascending_around_the_median(cls, levels: tuple[float, ...]) -> tuple[float, ...]:
        if list(levels) != sorted(set(levels)):
            raise ValueError(f"levels must increase, got {list(levels)}")
        if 0.5 not in levels:
            raise ValueError(f"0.5, the point forecast, must be among the levels {list(levels)}")
        return levels

    def content_fingerprint(self) -> str | None:
        """Digest of the weights that the name stands for now; ``None`` if they are not here yet."""
        from tsmemory.backbones.registry import backbone_fingerprint

        return backbone_fingerprint(self.name, self.revision, kind=self.kind)


class IndexingParams(Params):
    """How training windows are stored for retrieval.

    Attributes:
        key_kind: What windows are compared by: the backbone's ``embedding``, the
            instance-normalised ``window``, or the ``tail`` of that.
        tail_length: m, points of the tail, and of its statistics.
        phase_weight: Weight beside the main part's 1 of hour of day and day of week; 0 leaves them
            out.
        statistics_weight: The same of mean, log std and slope of the last m points.
        index_kind: ``auto`` is exact for small datastores, approximate above.
        same_channel: Search windows of the query's channel only.
        shard_size: Windows in a shard; a killed run resumes at the shard it was at.
        cache: Whether the backbone's answers are kept by content, so that it is asked again only
            about windows or by settings that it was not asked about in the latest run.
    """

    key_kind: Literal["embedding", "window", "tail"] = "embedding"
    tail_length: Annotated[int, Field(ge=2)] = 64
    phase_weight: Annotated[float, Field(ge=0)] = 0.0
    statistics_weight: Annotated[float, Field(ge=0)] = 0.0
    index_kind: Literal["auto", "flat", "ivf", "hnsw"] = "auto"
    same_channel: bool = True
    shard_size: Annotated[int, Field(ge=1), WITHOUT_EFFECT] = 2048
    cache: Annotated[bool, WITHOUT_EFFECT] = True
