from dataclasses import replace

import numpy as np
import pytest

from domains import H
from tsmemory.evaluation.costly_rows import TOGETHER, add_together_row, add_trace_rows
from tsmemory.evaluation.methods import frozen
from tsmemory.evaluation.scores import score_methods
from tsmemory.evaluation.trace_scores import TraceScores


def shifted(by):
    return lambda split: frozen(split) + np.float32(by)


def scored(split, methods):
    return score_methods(
        split,
        {name: [method] for name, method in methods.items()},
        horizons=(4, H),
        seasonal_error=np.ones(2),
        stride=1,
        batch_size=100,
    )


@pytest.fixture(scope="module")
def main(halves):
    return scored(halves[1], {"frozen": frozen, "tsmemory": shifted(0.1)})


@pytest.fixture(scope="module")
def trace(halves):
    methods = {"frozen": frozen, "lora_all": shifted(0.2), "trace": shifted(0.3)}
    return TraceScores(scored(halves[1], methods), ())


def test_rows_come_under_their_names_in_the_main_table(main, trace):
    joined = add_trace_rows(main, trace)
    assert list(joined.methods) == ["frozen", "tsmemory", "lora", "trace"]
    assert joined.methods["lora"] is trace.scores.methods["lora_all"]
    assert joined.seeds["trace"] == 1
    assert set(joined.below) == set(joined.methods)


def test_without_them_nothing_changes(main):
    assert add_trace_rows(main, None) is main
    assert add_together_row(main, None) is main


@pytest.mark.parametrize("change", ["backbone", "windows", "values", "levels", "horizons"])
def test_rows_about_something_else_are_left_out(main, trace, halves, with_values, change, caplog):
    split, methods = halves[1], {"frozen": frozen, "trace": shifted(0.3)}
    if change == "backbone":
        methods["frozen"] = shifted(0.01)
    if change == "windows":
        split = split.take(np.arange(len(split.windows) - 1))
    if change == "values":
        split = with_values(split, split.series.flat * 1.01)
    other = scored(split, methods)
    if change == "levels":
        other = replace(other, levels=other.levels[:-1])
    if change == "horizons":
        other = replace(
            other, methods={n: replace(s, horizons=(3, H)) for n, s in methods_of(other)}
        )
    assert add_trace_rows(main, TraceScores(other, ())) is main
    assert "kedro run --pipelines trace" in caplog.text


def methods_of(scores):
    return scores.methods.items()


def test_the_memory_on_the_adapted_backbone_is_a_row_of_its_own(main, halves):
    """Its frozen row is the adapted backbone, so that only the targets have to be the same."""
    together = scored(halves[1], {"frozen": shifted(0.3), "tsmemory": shifted(0.05)})
    joined = add_together_row(main, together)
    assert list(joined.methods) == ["frozen", "tsmemory", TOGETHER]
    assert joined.methods[TOGETHER] is together.methods["tsmemory"]


def test_the_memory_on_other_windows_is_left_out(main, halves, caplog):
    other = scored(halves[0], {"frozen": frozen, "tsmemory": shifted(0.05)})
    assert add_together_row(main, other) is main
    assert "other windows" in caplog.text
