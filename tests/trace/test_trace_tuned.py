import numpy as np
import pytest
from workshop import SMALL

from tsmemory.trace.arms import run_arm
from tsmemory.trace.errors import TraceError
from tsmemory.trace.sites import lora_sites


@pytest.fixture(scope="module")
def names(bench):
    return tuple(site.name for site in lora_sites(bench.base.read()))


def test_lora_is_on_the_given_sites_at_the_configured_rank(bench, names):
    given = (names[4], names[1])
    run = run_arm(bench, "tuned_mask", 0, sites=given)
    assert run.open_sites == (names[1], names[4])
    sites = {site.name: site for site in lora_sites(bench.base.read())}
    wanted = sum(sites[name].parameters(SMALL.lora.rank) + 1 for name in given)
    assert run.parameters - run.head_parameters == wanted
    assert run.importance.empty
    assert run.kept == any(line["best"] for line in run.history[1:])


def test_all_sites_are_the_row_with_lora_everywhere(bench, names):
    contexts = bench.windows.selection.take(slice(0, 6)).contexts(bench.series)
    tuned = run_arm(bench, "tuned_mask", 0, sites=names)
    everywhere = run_arm(bench, "lora_all", 0)
    assert tuned.history == everywhere.history
    np.testing.assert_array_equal(tuned.model.predict(contexts), everywhere.model.predict(contexts))


def test_without_sites_the_head_alone_learns(bench):
    tuned, head = (
        run_arm(bench, name, 0, **given)
        for name, given in (("tuned_mask", {"sites": ()}), ("head", {}))
    )
    assert tuned.open_sites == ()
    assert tuned.parameters == tuned.head_parameters
    assert tuned.history == head.history


def test_sites_that_are_missing_unknown_or_not_wanted_are_refused(bench, names):
    with pytest.raises(TraceError, match="run the pipeline tuning first"):
        run_arm(bench, "tuned_mask", 0)
    with pytest.raises(TraceError, match=r"no layer 'encoder\.x'"):
        run_arm(bench, "tuned_mask", 0, sites=["encoder.x"])
    with pytest.raises(TraceError, match="'trace' chooses its sites by itself"):
        run_arm(bench, "trace", 0, sites=names)
