"""All pipelines, by name."""

from kedro.pipeline import Pipeline

from tsmemory.pipelines import (
    anomaly,
    benchmark,
    distillation,
    evaluation,
    figures,
    forecasting,
    indexing,
    ingestion,
    pretraining,
    sample,
    scaleout,
    short_term,
    teacher,
    trace,
    tuning,
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
    panel = main_way["ingestion"].only_nodes("ingestion.read_panel")
    return {
        "__default__": sum(main_way.values(), start=Pipeline([])),
        **main_way,
        "anomaly": panel + anomaly.create_pipeline(),
        "benchmark": benchmark.create_pipeline(),
        "figures": figures.create_pipeline(),
        "forecasting": forecasting.create_pipeline(),
        "pretraining": pretraining.create_pipeline(),
        "sample": sample.create_pipeline(),
        "scaleout": scaleout.create_pipeline(),
        "short_term": panel + short_term.create_pipeline(),
        "trace": _windows_and_forecasts(main_way) + trace.create_pipeline(),
        "tuning": _up_to_closed_form(main_way) + tuning.create_pipeline(),
    }


def _windows_and_forecasts(main_way: dict[str, Pipeline]) -> Pipeline:
    """Steps of the main way that ``trace`` begins with, so that it runs on its own too."""
    forecasts = main_way["evaluation"].only_nodes("indexing.forecast_test_windows")
    return main_way["ingestion"] + main_way["windowing"] + forecasts


def _up_to_closed_form(main_way: dict[str, Pipeline]) -> Pipeline:
    """Steps of the main way that ``tuning`` begins with, so that it runs on its own too."""
    steps = ("teacher.search_neighbours", "teacher.calibrate_teacher")
    taught = main_way["teacher"].only_nodes(*steps)
    solved = main_way["distillation"].only_nodes("distillation.fit_linear_skip")
    return _windows_and_forecasts(main_way) + main_way["indexing"] + taught + solved
