"""Baselines, leaderboard, cost and plots."""
