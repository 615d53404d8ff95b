"""Keys of training windows in a datastore, and what the frozen backbone says."""

from tsmemory.pipelines.indexing.pipeline import create_pipeline

__all__ = ["create_pipeline"]
