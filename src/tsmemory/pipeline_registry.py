"""All pipelines, by name."""

from kedro.pipeline import Pipeline

from tsmemory.pipelines import (
    benchmark,
    distillation,
    evaluation,
    indexing,
    ingestion,
    pretraining,
    sample,
    teacher,
    windowing,
)

MAIN_WAY = {
    "ingestion": ingestion,
    "windowing": windowing,
    "indexing": indexing,
    "teacher": teacher,
    "distillation": distillation,
    "evaluation": evaluation,
}


def register_pipelines() -> dict[str, Pipeline]:
    """Register the pipelines.

    Returns:
        The six of the main way, together ``__default__``, and those beside it.
    """
    main_way = {name: module.create_pipeline() for name, module in MAIN_WAY.items()}
    return {
        "__default__": sum(main_way.values(), start=Pipeline([])),
        **main_way,
        "benchmark": benchmark.create_pipeline(),
        "pretraining": pretraining.create_pipeline(),
        "sample": sample.create_pipeline(),
    }
