"""The memory adapter: ridge skip, correction, distillation, fusion, forecaster."""
