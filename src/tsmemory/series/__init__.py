"""Panels, splits, scaling and windows (numpy and pandas only)."""
