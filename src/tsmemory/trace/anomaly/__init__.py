"""Anomaly detection with a backbone: scores, the labels they are judged by, and the judgement."""
