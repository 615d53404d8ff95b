"""Tuning with Optuna: gates and thresholds, LoRA importance masks, studies on disk."""
