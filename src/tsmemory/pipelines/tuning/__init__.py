"""Tuning with Optuna: gates and fusion, LoRA masks, and what is left of the gains on test."""

from tsmemory.pipelines.tuning.pipeline import create_pipeline

__all__ = ["create_pipeline"]
