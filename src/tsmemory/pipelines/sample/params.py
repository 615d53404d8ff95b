"""Parameters of the pipeline ``sample``."""

from calendar import isleap
from typing import Annotated

from pydantic import Field, field_validator

from tsmemory.pipelines.base_params import Params


class SampleParams(Params):
    """How the sample data are put together.

    Attributes:
        year: The nominal year on which all months are put; no leap year.
    """

    year: Annotated[int, Field(ge=1900, le=2100)] = 2001

    @field_validator("year")
    @classmethod
    def _ordinary(cls, year: int) -> int:
        if isleap(year):
            raise ValueError("a typical year has 8,760 hours: give a year that is no leap year")
        return year
