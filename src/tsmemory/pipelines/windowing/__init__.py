"""Where the windows of each split lie."""

from tsmemory.pipelines.windowing.pipeline import create_pipeline

__all__ = ["create_pipeline"]
