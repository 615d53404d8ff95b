from dataclasses import replace

import numpy as np
import pytest
from workshop import SMALL


@pytest.fixture(scope="module")
def selection(bench):
    return bench.examples(bench.windows.selection, SMALL.head)


def test_the_mean_is_that_of_the_tables_horizons(bench, selection):
    model = bench.model(SMALL.head)
    whole = selection.take(np.flatnonzero(selection.windows.complete(8)))
    target = whole.windows.targets(whole.series)
    error = (model.predict(whole.windows.contexts(whole.series))[:, 4] - target) ** 2
    wanted = np.mean([error[:, :4].mean(), error.mean()])
    assert float(whole.mean_losses(model)[0]) == pytest.approx(wanted, rel=1e-5)


def test_windows_that_know_near_steps_only_do_not_weigh_them_up(bench, selection):
    model = bench.model(SMALL.head)
    whole = selection.take(np.flatnonzero(selection.windows.complete(8)))
    windows = whole.windows
    # The same windows again, of which only the first four steps are known.
    twice = windows.take(np.tile(np.arange(len(windows)), 2))
    limit = np.concatenate([windows.limit, windows.origin + 4])
    cut = replace(whole, windows=replace(twice, limit=limit))
    np.testing.assert_allclose(cut.mean_losses(model), whole.mean_losses(model), rtol=1e-6)


def test_targets_are_as_long_as_one_pass(bench, selection):
    short = bench.model(SMALL.head)
    short.horizon = 6
    fitted = selection.fit_to(short)
    assert fitted.windows.horizon == 6
    assert fitted.horizons == (4, 6)
