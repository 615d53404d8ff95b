"""Pipeline ``trace``: the backbone itself is adapted, where it matters, beside every control."""

from tsmemory.pipelines.trace.pipeline import create_pipeline

__all__ = ["create_pipeline"]
