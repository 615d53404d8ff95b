"""The offline kNN teacher: alignment, weighted quantiles, confidence."""
