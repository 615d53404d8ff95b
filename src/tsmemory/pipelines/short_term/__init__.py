"""Pipeline ``short_term``: the ends of many short series, judged as in the M4 competition."""

from tsmemory.pipelines.short_term.pipeline import create_pipeline

__all__ = ["create_pipeline"]
