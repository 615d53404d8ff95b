"""Kedro pipelines: parameters, thin nodes, wiring."""
