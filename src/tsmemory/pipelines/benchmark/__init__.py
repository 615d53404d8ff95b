"""Pipeline ``benchmark``: what each part is worth, and what a memory does elsewhere."""

from tsmemory.pipelines.benchmark.pipeline import create_pipeline

__all__ = ["create_pipeline"]
