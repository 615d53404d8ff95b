"""What all parameter models share."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _as_list(value: Any) -> Any:
    """Read ``12`` and ``"12 48"`` as lists: Kedro's command line splits values at commas."""
    if isinstance(value, str):
        return value.split()
    return [value] if isinstance(value, (int, float)) else value


def _as_names(value: Any) -> Any:
    """Read ``"a b"`` as a list, for the same reason."""
    return value.split() if isinstance(value, str) else value


Listed = BeforeValidator(_as_list)
Names = BeforeValidator(_as_names)
Seed = Annotated[int, Field(ge=0)]

# Marks of fields, for fingerprints (see tsmemory.runs.parameters.ParameterValues): results do not
# depend on the value at all, or only on the last part of a path.
WITHOUT_EFFECT = Field(json_schema_extra={"affects_results": False})
ONLY_FILE_NAME = Field(json_schema_extra={"affects_results": "file_name"})


class Params(BaseModel):
    """Parameters of a pipeline: unknown names are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
