"""A study as tables: its trials, and which of its parameters matter."""

import warnings

import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from tsmemory.tuning.study import SETTING, finished

IMPORTANCE_COLUMNS = ("parameter", "importance")
PROPOSED = "proposed"  # in the place of the name of a setting that was asked for
_FEWEST = 8  # complete trials that an importance is worth computing from


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
    """How much of being among the best trials each parameter explains.

    By PED-ANOVA (Watanabe et al., IJCAI 2023), over the complete trials.

    Args:
        study: A study of one objective.

    Returns:
        Table ``parameter, importance``, the most important first; shares of 1. Empty where there
        are too few complete trials, or all of them have one value.
    """
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(done) < _FEWEST or len({trial.value for trial in done}) < 2:
        return pd.DataFrame(columns=list(IMPORTANCE_COLUMNS))
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(evaluate_on_local=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = evaluator.evaluate(study, params=_varied(done))
    total = sum(found.values())
    lines = [(name, value / total if total > 0 else 0.0) for name, value in found.items()]
    table = pd.DataFrame(lines, columns=list(IMPORTANCE_COLUMNS))
    return table.sort_values("importance", ascending=False, ignore_index=True)


def _varied(trials: list[FrozenTrial]) -> list[str]:
    """Parameters of which the trials have at least two values, in order of appearance."""
    names = dict.fromkeys(name for trial in trials for name in trial.params)
    return [
        name
        for name in names
        if len({trial.params[name] for trial in trials if name in trial.params}) > 1
    ]
