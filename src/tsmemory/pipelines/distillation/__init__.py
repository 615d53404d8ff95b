"""The adapter: closed form, confidence-gated distillation, guarded fusion, export."""

from tsmemory.pipelines.distillation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
