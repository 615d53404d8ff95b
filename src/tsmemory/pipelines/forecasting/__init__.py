"""Pipeline ``forecasting``: new data in, quantile forecasts by a saved forecaster out."""

from tsmemory.pipelines.forecasting.pipeline import create_pipeline

__all__ = ["create_pipeline"]
