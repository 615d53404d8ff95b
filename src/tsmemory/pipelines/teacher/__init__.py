"""Embargoed neighbours of the training windows, from which teacher targets are formed."""

from tsmemory.pipelines.teacher.pipeline import create_pipeline

__all__ = ["create_pipeline"]
