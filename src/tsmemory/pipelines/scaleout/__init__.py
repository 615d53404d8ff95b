"""Pipeline ``scaleout``: what data-parallel training costs here, and what a model says of more."""

from tsmemory.pipelines.scaleout.pipeline import create_pipeline

__all__ = ["create_pipeline"]
