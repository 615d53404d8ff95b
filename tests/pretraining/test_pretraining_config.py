import pytest

from tsmemory.pretraining.config import (
    ModelConfig,
    OptimizerConfig,
    TrainingConfig,
    check_recipe,
)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ModelConfig(width=0), "width must be above 0"),
        (lambda: ModelConfig(heads=3), "width must be a multiple of heads, got 256 and 3"),
        (lambda: ModelConfig(patch_length=30), "multiple of patch_length, got 2048 and 30"),
        (lambda: OptimizerConfig(learning_rate=0), "learning_rate must be above 0"),
        (lambda: OptimizerConfig(warmup=-1), "warmup must not be negative"),
        (lambda: OptimizerConfig(decay=1.1), "decay must lie in"),
        (lambda: OptimizerConfig(average=1.0), "average must lie in"),
        (lambda: TrainingConfig(steps=0), "steps must be above 0"),
        (lambda: TrainingConfig(floor=0), "floor must be above 0"),
        (lambda: TrainingConfig(seed=-1), "seed must not be negative"),
        (lambda: TrainingConfig(device="tpu"), "device must be cpu, cuda"),
        (lambda: TrainingConfig(devices=0), "devices must be above 0"),
        (lambda: TrainingConfig(accumulate=0), "accumulate must be above 0"),
        (lambda: TrainingConfig(batch=8, accumulate=3, devices=3), "batch of 8 windows is too"),
        (lambda: TrainingConfig(device="cuda:1", devices=2), "cuda:1 cannot be shared by 2 ranks"),
        (lambda: OptimizerConfig(base_batch=0), "base_batch must be above 0"),
        (lambda: OptimizerConfig(beta2=1.0), "beta2 must lie in"),
        (lambda: OptimizerConfig(kind="lamb", adamw_rate=0), "adamw_rate must be above 0"),
        (lambda: OptimizerConfig(kind="muon", adamw_rate=0.1), "adamw_rate belongs to kind lars"),
    ],
)
def test_impossible_settings_are_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


@pytest.mark.parametrize("device", ["cpu", "cuda:1"])
def test_half_precision_can_be_set_on_any_machine(device):
    assert TrainingConfig(precision="float16", device=device).precision == "float16"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"families": {"weather": 1.0}}, "unknown family 'weather'; known: calendar"),
        ({"families": {"counts": -0.1}}, "the share of a family"),
        ({"families": {}}, "the share of a family"),
        ({"contexts": {64: 0.0}}, "the share of a context length"),
        ({"contexts": {128: 1.0}}, "longer than model.context_length, 64"),
        ({"contexts": {20: 1.0}}, "multiples of model.patch_length, 8"),
        ({"contexts": {8: 1.0}}, "at least 16 steps, got 8"),
        ({"chunk": 24}, "corpus.chunk must be a multiple of training.batch, got 24 and 16"),
        ({"chunk": 8}, "corpus.chunk must be a multiple"),
        ({"chunk": 0}, "corpus.chunk must be a multiple"),
    ],
)
def test_a_corpus_that_does_not_fit_is_refused(changes, said):
    fitting = {"families": {"counts": 1.0}, "contexts": {64: 1.0, 16: 0.0}, "chunk": 32}
    model, training = ModelConfig(context_length=64, patch_length=8), TrainingConfig(batch=16)
    check_recipe(model, training, **fitting)
    with pytest.raises(ValueError, match=said):
        check_recipe(model, training, **fitting | changes)
