"""Parameters of the pipeline ``short_term``."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from tsmemory.fingerprint import digest, sha256_of_path
from tsmemory.pipelines.base_params import Names, Params


class ShortTermParams(Params):
    """What is forecast, and by what.

    Attributes:
        horizon: H, steps at the end of each series; 48 in M4's hourly part.
        context_length: The most steps of context; no more than a backbone reads are used.
        held_back: Steps at the end that are not read: of H, settings may be chosen by the table.
        backbones: More backbones beside the configured one: folders, such as those that the
            pipeline ``trace`` exports, or hub ids.
    """

    horizon: Annotated[int, Field(ge=1)] = 48
    context_length: Annotated[int, Field(ge=8)] = 512
    held_back: Annotated[int, Field(ge=0)] = 0
    backbones: Annotated[tuple[str, ...], Names] = ()

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        if len(set(self.backbones)) < len(self.backbones):
            raise ValueError("a backbone is named twice")
        return self

    def content_fingerprint(self) -> str | None:
        """Digest of what the names stand for now; ``None`` where one is not here."""
        from tsmemory.backbones.registry import backbone_fingerprint

        found = [
            sha256_of_path(name) if Path(name).exists() else backbone_fingerprint(name)
            for name in self.backbones
        ]
        return None if None in found else digest(found)
