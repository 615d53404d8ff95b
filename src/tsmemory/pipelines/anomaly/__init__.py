"""Pipeline ``anomaly``: how anomalous every step of a series is, and how well that is told."""

from tsmemory.pipelines.anomaly.pipeline import create_pipeline

__all__ = ["create_pipeline"]
