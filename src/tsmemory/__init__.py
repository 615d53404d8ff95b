"""tsmemory: plug-and-play memory for frozen time-series foundation models."""

__version__ = "0.1.0"
