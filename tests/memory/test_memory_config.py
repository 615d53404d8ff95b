import pytest
from pydantic import TypeAdapter, ValidationError

from tsmemory.memory.config import (
    AdapterSizes,
    FusionConfig,
    GateConfig,
    GuardConfig,
    ObjectiveConfig,
    PaperSizes,
    TrainingConfig,
)


@pytest.mark.parametrize(
    ("kind", "name", "bad", "good"),
    [
        (AdapterSizes, "width", 0, 1),
        (AdapterSizes, "dropout", 1.0, 0.0),
        (PaperSizes, "width", 0, 8),
        (PaperSizes, "heads", 7, 16),
        (PaperSizes, "decoder_layers", 0, 1),
        (ObjectiveConfig, "align", -0.1, 0.0),
        (ObjectiveConfig, "cross", -0.1, 0.0),
        (ObjectiveConfig, "huber", 0.0, 0.1),
        (ObjectiveConfig, "folds", 1, 2),
        (ObjectiveConfig, "confidence_threshold", 1.1, 1.0),
        (TrainingConfig, "epochs", -1, 0),
        (TrainingConfig, "learning_rate", 0.0, 1e-9),
        (TrainingConfig, "patience", 0, 1),
        (TrainingConfig, "base_batch", 0, 1),
        (TrainingConfig, "warmup", -0.1, 0.0),
        (TrainingConfig, "accumulate", 0, 1),
        (TrainingConfig, "devices", 0, 1),
        (TrainingConfig, "device", "gpu", "cuda:1"),
        (FusionConfig, "training_weight", -1.0, 0.0),
        (GateConfig, "min_spread", -0.1, 0.0),
        (GateConfig, "max_disagreement", float("nan"), 2.0),
        (GateConfig, "max_volatility", -1.0, 0.5),
        (GuardConfig, "alpha", 1.0, 0.0),
        (GuardConfig, "min_blocks", 0, 1),
        (FusionConfig, "shrinkage", -0.1, 1.0),
        (FusionConfig, "block", 0, 1),
        (FusionConfig, "shrinkage", float("nan"), 0.0),
    ],
)
def test_impossible_values_are_refused_where_they_are_written(kind, name, bad, good):
    with pytest.raises(ValueError, match=name):
        kind(**{name: bad})
    assert getattr(kind(**{name: good}), name) == good


def test_unknown_names_are_refused_when_read_from_parameters():
    with pytest.raises(ValidationError, match="widht"):
        TypeAdapter(AdapterSizes).validate_python({"widht": 3})
    nested = TypeAdapter(FusionConfig).validate_python({"guard": {"alpha": 0.1}})
    assert nested.guard.alpha == 0.1
