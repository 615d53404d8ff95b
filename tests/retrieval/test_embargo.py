import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tsmemory.retrieval.embargo import embargoed_positions

starts = st.lists(st.integers(-5, 60), max_size=40)


@given(
    stored=starts,
    query=starts,
    context_length=st.integers(1, 9),
    horizon=st.integers(1, 9),
    embargo=st.sampled_from(["overlap", "causal", "self"]),
)
def test_against_step_by_step_comparison(stored, query, context_length, horizon, embargo):
    stored = np.sort(np.array(stored, dtype=np.int64))
    query = np.array(query, dtype=np.int64)
    low, high = embargoed_positions(
        stored, query, context_length=context_length, horizon=horizon, embargo=embargo
    )
    span = context_length + horizon
    for number, t in enumerate(query):
        hidden = []
        for s in stored:
            steps = set(range(s, s + span))
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
