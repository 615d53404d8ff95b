"""Parameters of the pipeline ``indexing`` and of the backbone."""

from typing import Annotated, Literal

from pydantic import Field

from tsmemory.pipelines.base_params import WITHOUT_EFFECT, Params


class BackboneParams(Params):
    """Which frozen model is adapted.

    Attributes:
        name: ``bundled``, ``seasonal_naive``, a local folder, or a hub id.
        revision: Branch, tag or commit on the hub.
        device: Torch device.
        batch_size: Windows in one pass; forecasts do not depend on it.
    """

    name: Annotated[str, Field(min_length=1)] = "bundled"
    revision: str | None = None
    device: Annotated[str, Field(pattern=r"^(cpu|mps|cuda(:\d+)?)$")] = "cpu"
    batch_size: Annotated[int, Field(ge=1)] = 128

    def content_fingerprint(self) -> str | None:
        """Digest of the weights that the name stands for now; ``None`` if they are not here yet."""
        from tsmemory.backbones.registry import backbone_fingerprint

        return backbone_fingerprint(self.name, self.revision)


class IndexingParams(Params):
    """How training windows are stored for retrieval.

    Attributes:
        key_kind: What windows are compared by.
        index_kind: ``auto`` is exact for small datastores, approximate above.
        same_channel: Search windows of the query's channel only.
        shard_size: Windows in a shard; a killed run resumes at the shard it was at.
    """

    key_kind: Literal["embedding", "window"] = "embedding"
    index_kind: Literal["auto", "flat", "ivf", "hnsw"] = "auto"
    same_channel: bool = True
    shard_size: Annotated[int, Field(ge=1), WITHOUT_EFFECT] = 2048
