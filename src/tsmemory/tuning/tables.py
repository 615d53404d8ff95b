"""A study as tables: its trials, and which of its parameters matter."""

from typing import Any

import numpy as np
import optuna
import pandas as pd
from numpy.typing import NDArray
from optuna.trial import TrialState

from tsmemory.tuning.study import SETTING, finished

IMPORTANCE_COLUMNS = ("parameter", "importance")
PROPOSED = "proposed"  # in the place of the name of a setting that was asked for
_FEWEST = 8  # complete trials that an importance is worth computing from
_MOST_VALUES = 4  # of a parameter, that are looked at one by one


def trials_table(study: optuna.Study, names: tuple[str, ...] = ("loss",)) -> pd.DataFrame:
    """One line for each finished trial.

    Args:
        study: The study.
        names: What its values are called.

    Returns:
        Table ``number, state, setting``, the values, ``blocks``, ``seconds``, and a column for each
        parameter; NaN where a trial has none. A pruned trial's value is that of its last block.
    """
    lines = []
    for trial in finished(study):
        values = trial.values or [float("nan")] * len(names)
        lines.append(
            {
                "number": trial.number,
                "state": trial.state.name.lower(),
                "setting": trial.user_attrs.get(SETTING, PROPOSED),
                **dict(zip(names, values, strict=True)),
                "blocks": len(trial.intermediate_values),
                "seconds": trial.user_attrs.get("seconds", float("nan")),
                **trial.params,
            }
        )
    first = ["number", "state", "setting", *names, "blocks", "seconds"]
    table = pd.DataFrame(lines, columns=None if lines else first)
    return table.sort_values("number", ignore_index=True)


def importance_table(study: optuna.Study) -> pd.DataFrame:
    """How much of the order of the trials each parameter explains by itself.

    The share of the variance of the loss's rank that lies between a parameter's values, numbers cut
    into thirds, less what as many groups explain by chance (the adjusted correlation ratio). What
    several parameters do together is not told.

    Args:
        study: A study of one objective.

    Returns:
        Table ``parameter, importance``, the most important first. Empty where there are too few
        complete trials, or all of them have one value.
    """
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    losses = pd.Series([trial.value for trial in done], dtype=float)
    if len(done) < _FEWEST or losses.nunique() < 2:
        return pd.DataFrame(columns=list(IMPORTANCE_COLUMNS))
    ranks = np.asarray(losses.rank(), dtype=np.float64)
    names = dict.fromkeys(name for trial in done for name in trial.params)
    lines = []
    for name in names:
        group = _groups([trial.params.get(name) for trial in done])
        if group.max() > 0:
            lines.append((name, _explained(ranks, group)))
    table = pd.DataFrame(lines, columns=list(IMPORTANCE_COLUMNS))
    return table.sort_values("importance", ascending=False, ignore_index=True, kind="stable")


def _groups(values: list[Any]) -> NDArray[np.int64]:
    """Which values belong together: equal ones, or numbers of one third. Shape ``(n,)``."""
    numbers = [v for v in values if isinstance(v, float)]
    if len(set(numbers)) > _MOST_VALUES:
        edges = np.quantile(numbers, [1 / 3, 2 / 3])
        values = [int(np.searchsorted(edges, v)) if isinstance(v, float) else v for v in values]
    return np.asarray(pd.factorize(pd.Series(values, dtype=object), use_na_sentinel=False)[0])


def _explained(ranks: NDArray[np.float64], group: NDArray[np.int64]) -> float:
    """Adjusted share of the variance that lies between groups, not below 0."""
    count, groups = len(ranks), int(group.max()) + 1
    if groups >= count:
        return 0.0
    within = sum(
        float(((own := ranks[group == g]) - own.mean()) @ (own - own.mean())) for g in range(groups)
    )
    total = float(((ranks - ranks.mean()) ** 2).sum())
    return max(0.0, 1 - within / total * (count - 1) / (count - groups))
