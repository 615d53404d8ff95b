"""The fused forecast against every cheap alternative, on the test split."""

from tsmemory.pipelines.evaluation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
