"""Frozen time-series foundation models behind one protocol."""

from tsmemory.backbones.pretraining_data import PretrainingData
from tsmemory.backbones.protocol import Backbone, BackboneError, BackboneOutput, Origins
from tsmemory.backbones.registry import backbone_kinds, load_backbone, register_backbone

__all__ = [
    "Backbone",
    "BackboneError",
    "BackboneOutput",
    "Origins",
    "PretrainingData",
    "backbone_kinds",
    "load_backbone",
    "register_backbone",
]
