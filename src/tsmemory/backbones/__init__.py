"""Frozen time-series foundation models behind one protocol."""

from tsmemory.backbones.protocol import Backbone, BackboneError, BackboneOutput
from tsmemory.backbones.registry import backbone_kinds, load_backbone, register_backbone

__all__ = [
    "Backbone",
    "BackboneError",
    "BackboneOutput",
    "backbone_kinds",
    "load_backbone",
    "register_backbone",
]
