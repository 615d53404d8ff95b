"""From a raw file to a regular panel, split by time and scaled by its training part."""

from tsmemory.pipelines.ingestion.pipeline import create_pipeline

__all__ = ["create_pipeline"]
