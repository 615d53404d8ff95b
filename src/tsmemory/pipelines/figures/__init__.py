"""Pipeline ``figures``: the figures of a run for print."""

from tsmemory.pipelines.figures.pipeline import create_pipeline

__all__ = ["create_pipeline"]
