"""Trains a small backbone on synthetic series, watched on validation splits."""

from tsmemory.pipelines.pretraining.pipeline import create_pipeline

__all__ = ["create_pipeline"]
