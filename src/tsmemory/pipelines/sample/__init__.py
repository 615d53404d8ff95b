"""Rebuilds the sample data that ship with the project."""

from tsmemory.pipelines.sample.pipeline import create_pipeline

__all__ = ["create_pipeline"]
