from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from builders import series_of
from tsmemory.retrieval.embargo import calendar_slack, embargoed_positions

starts = st.lists(st.integers(-5, 60), max_size=40)


@given(
    stored=starts,
    query=starts,
    context_length=st.integers(1, 9),
    horizon=st.integers(1, 9),
    embargo=st.sampled_from(["overlap", "causal", "self"]),
    slack=st.integers(0, 2),
)
def test_against_step_by_step_comparison(stored, query, context_length, horizon, embargo, slack):
    stored = np.sort(np.array(stored, dtype=np.int64))
    query = np.array(query, dtype=np.int64)
    low, high = embargoed_positions(
        stored,
        query,
        context_length=context_length,
        horizon=horizon,
        embargo=embargo,
        slack=slack,
    )
    span = context_length + horizon
    for number, t in enumerate(query):
        hidden = []
        for s in stored:
            steps = set(range(s - slack, s + span + slack))
            if embargo == "overlap":
                hidden.append(bool(steps & set(range(t, t + span))))
            elif embargo == "causal":  # some of its steps are not known yet at the query's origin
                hidden.append(max(steps) >= t + context_length)
            else:
                hidden.append(s == t)
        inside = np.zeros(len(stored), bool)
        inside[low[number] : high[number]] = True
        assert inside.tolist() == hidden
        assert 0 <= low[number] <= high[number] <= len(stored)


def test_slack_where_series_lie_between_each_others_steps():
    series = series_of([np.zeros(5), np.zeros(5)], calendar=[0, 3])
    assert calendar_slack(series) == 0
    half = replace(series, begin=series.begin + np.array([0, 30]) * np.timedelta64(1, "m"))
    assert calendar_slack(half) == 1
    assert calendar_slack(replace(half, freq="MS")) == 0
