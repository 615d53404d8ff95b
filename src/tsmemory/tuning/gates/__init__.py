"""Gates study: thresholds, teacher, loss weights and fusion, tuned on blocks of validation."""
