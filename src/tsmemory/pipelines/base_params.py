"""What all parameter models share."""

from pydantic import BaseModel, ConfigDict


class Params(BaseModel):
    """Parameters of a pipeline: unknown names are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)
