"""Pretraining of a small backbone on synthetic series alone."""
