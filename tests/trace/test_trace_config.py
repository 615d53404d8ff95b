import pytest

from tsmemory.trace.config import (
    FineTuningConfig,
    HeadConfig,
    LoraConfig,
    MaskConfig,
    ScoringConfig,
    SelectionConfig,
    TraceConfig,
)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: HeadConfig(width=0), "width must be above 0"),
        (lambda: HeadConfig(kernel=2), "kernel must be odd"),
        (lambda: HeadConfig(levels="point", loss="quantile"), "no quantile loss"),
        (lambda: LoraConfig(rank=0), "rank must be above 0"),
        (lambda: MaskConfig(closed_share=1.0), r"closed_share must lie in \[0, 1\)"),
        (lambda: ScoringConfig(passes=0), "passes must be above 0"),
        (lambda: SelectionConfig(kept_share=1.2), "kept_share"),
        (lambda: SelectionConfig(scoring_share=1.0), "scoring_share"),
        (lambda: FineTuningConfig(steps=-1), "steps must not be negative"),
        (lambda: FineTuningConfig(penalties=()), "penalties must be above 0"),
        (lambda: FineTuningConfig(head_rate=0), "head_rate must be above 0"),
    ],
)
def test_what_is_impossible_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_training_goes_on_after_the_last_round():
    rounds = SelectionConfig(rounds=3, warmup_steps=60, round_steps=20)
    assert rounds.last_round == 100
    with pytest.raises(ValueError, match=r"training.steps \(100\) must be above .* = 100"):
        TraceConfig(selection=rounds, training=FineTuningConfig(steps=100))
    TraceConfig(selection=rounds, training=FineTuningConfig(steps=101))
    TraceConfig(selection=rounds, training=FineTuningConfig(steps=0))


def test_uniform_masks_need_no_number():
    assert MaskConfig(closed_share="uniform").closed_share == "uniform"
