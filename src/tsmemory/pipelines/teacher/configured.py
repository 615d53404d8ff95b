"""The teacher that the parameters describe, for every pipeline that needs one."""

from typing import Any

from tsmemory.pipelines.lazy_types import Datastore
from tsmemory.pipelines.teacher.params import TeacherParams
from tsmemory.series.series_set import SeriesSet


def search_settings(params: TeacherParams) -> dict[str, Any]:
    """Settings of a search for neighbours, but for embargo and shards."""
    from tsmemory.teacher.rerank import Rerank

    pool = params.rerank_pool
    return {
        "k": params.k,
        "k_min": params.k_min,
        "temperature": params.temperature,
        "confidence": params.confidence,
        "device": params.device,
        "rerank": Rerank(pool, params.shift_length, params.alignment) if pool else None,
    }


def configured_teacher(
    datastore: Datastore,
    series: SeriesSet,
    levels: tuple[float, ...],
    params: TeacherParams,
    calibration: dict[str, Any] | None = None,
) -> Any:
    """Build the teacher.

    Args:
        datastore: Stored training windows.
        series: The rows.
        levels: Quantile levels.
        params: How targets are formed.
        calibration: What ``calibrate_teacher`` returned; ``None`` leaves the spread as retrieved.

    Returns:
        A :class:`tsmemory.teacher.synthesis.Teacher`.
    """
    from tsmemory.teacher.calibration import SpreadCalibration
    from tsmemory.teacher.synthesis import Teacher

    return Teacher(
        datastore,
        series,
        levels,
        params.shift_length,
        params.quantile_method,
        params.alignment,
        None if calibration is None else SpreadCalibration.from_json(calibration),
        params.device,
    )
