"""Studies on disk that several processes share and that a kill at any moment does not harm.

A study lives in an Optuna journal: a file to which every step of every trial is appended. What
Optuna leaves open is closed here: who may begin a trial when a number of them is asked for, and
what becomes of trials whose process is gone.
"""

import logging
import time
import uuid
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from tsmemory.tuning.errors import TuningError
from tsmemory.tuning.locks import FileLock, is_held
from tsmemory.tuning.plan import StudyPlan

SETTING = "setting"  # name of a setting that was asked for
WORKER = "worker"  # process that has a trial
RETRY = "retry_of"  # number of the trial whose process was gone
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
Objective = Callable[[optuna.Trial], float | Sequence[float]]
logger = logging.getLogger(__name__)


def open_study(journal: Path, plan: StudyPlan) -> optuna.Study:
    """Open a study, or begin it.

    Args:
        journal: The journal; several studies share it. A last line that a kill has cut is removed.
        plan: What the study is.

    Returns:
        The study.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    journal.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(_beside(journal, "lock"))
    with lock:
        _mend(journal)
    backend = JournalFileBackend(str(journal), lock_obj=lock)  # type: ignore[arg-type]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.create_study(
            storage=JournalStorage(backend),
            study_name=plan.study_name,
            directions=["minimize"] * plan.objectives,
            sampler=plan.proposer(0),
            pruner=plan.pruner(),
            load_if_exists=True,
        )


def finished(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that count, pruned ones included, in order."""
    return study.get_trials(deepcopy=False, states=FINISHED)


class Worker:
    """One process's share of a study: begins trials and tells their values.

    Use it as a context: inside, others know that it is alive.
    """

    def __init__(self, journal: Path, plan: StudyPlan) -> None:
        """Open the study.

        Args:
            journal: The journal.
            plan: What the study is.
        """
        self.study = open_study(journal, plan)
        self.plan = plan
        self._claims = FileLock(_beside(journal, "claims"))
        self._workers = _beside(journal, "workers")
        self._alive = FileLock(self._workers / uuid.uuid4().hex)
        self._began = time.monotonic()

    def __enter__(self) -> "Worker":
        with self._claims:
            for path in self._workers.glob("*"):
                if not is_held(path):
                    path.unlink(missing_ok=True)  # of a process that was killed
            self._alive.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._alive.path.unlink(missing_ok=True)
        self._alive.release()

    def left(self) -> int:
        """Trials that are neither finished nor under way."""
        return max(0, self.plan.trials - self._taken())

    def step(self, objective: Objective) -> bool:
        """Begin a trial and finish it.

        Args:
            objective: Its value or values; :class:`optuna.TrialPruned` gives it up.

        Returns:
            Whether there was one to begin: not if all are taken or the time is over.

        Raises:
            TuningError: A value is not finite.
        """
        trial = self.claim()
        if trial is None:
            return False
        began = time.perf_counter()
        try:
            found = objective(trial)
        except optuna.TrialPruned:
            self._tell(trial, None, TrialState.PRUNED, began)
            return True
        except Exception:
            self._tell(trial, None, TrialState.FAIL, began)
            raise
        values = [float(v) for v in found] if isinstance(found, Sequence) else [float(found)]
        if not all(abs(value) < float("inf") for value in values):
            self._tell(trial, None, TrialState.FAIL, began)
            raise TuningError(
                f"trial {trial.number} of the study {self.plan.name} has the value {found} with "
                f"{trial.params}: leave such settings out of the space"
            )
        self._tell(trial, values, TrialState.COMPLETE, began)
        return True

    def claim(self) -> optuna.Trial | None:
        """Begin a trial, if one is left and there is time.

        All workers count and begin under one lock, so that none begins one too many.
        """
        limit = self.plan.timeout_minutes
        if limit is not None and time.monotonic() - self._began >= 60 * limit:
            return None
        with self._claims:
            self._recover()
            if self._taken() >= self.plan.trials:
                return None
            self._enqueue_settings()
            self.study.sampler = self.plan.proposer(len(self.study.get_trials(deepcopy=False)))
            trial = self.study.ask()
            trial.set_user_attr(WORKER, self._alive.path.name)
        return trial

    def _tell(
        self, trial: optuna.Trial, values: list[float] | None, state: TrialState, began: float
    ) -> None:
        trial.set_user_attr("seconds", round(time.perf_counter() - began, 4))
        self.study.tell(trial, values, state=state)

    def _taken(self) -> int:
        """Trials that are finished or under way in a live process."""
        trials = self.study.get_trials(deepcopy=False)
        return sum(t.state in FINISHED or self._is_under_way(t) for t in trials)

    def _is_under_way(self, trial: FrozenTrial) -> bool:
        if trial.state != TrialState.RUNNING or WORKER not in trial.user_attrs:
            return False
        path = self._workers / str(trial.user_attrs[WORKER])
        return path == self._alive.path or is_held(path)

    def _recover(self) -> None:
        """Fail the trials whose process is gone, and queue their parameters again.

        Only under the lock of claims: a trial without a worker is then one whose process was killed
        as it began. Queueing comes first, lest a kill between the two lose the parameters; that it
        was done is seen from the queued trial.
        """
        trials = self.study.get_trials(deepcopy=False)
        retried = {trial.user_attrs.get(RETRY) for trial in trials}
        for trial in trials:
            if trial.state != TrialState.RUNNING or self._is_under_way(trial):
                continue
            params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
            if trial.number not in retried:
                kept = {n: v for n, v in trial.user_attrs.items() if n == SETTING}
                self.study.enqueue_trial(params, user_attrs={**kept, RETRY: trial.number})
            self.study.tell(trial.number, state=TrialState.FAIL)
            logger.info("Trial %d was left by a process that is gone; queued again", trial.number)

    def _enqueue_settings(self) -> None:
        """Queue the settings that the plan names, each once."""
        trials = self.study.get_trials(deepcopy=False)
        known = {t.user_attrs.get(SETTING) for t in trials if t.state != TrialState.FAIL}
        for name, params in self.plan.settings.items():
            if name not in known:
                self.study.enqueue_trial(dict(params), user_attrs={SETTING: name})


def report_block(trial: optuna.Trial, number: int, value: float) -> None:
    """Report a trial's value after a block, and give the trial up if it falls behind.

    Args:
        trial: The trial.
        number: Blocks that the value comes from, from 1 on.
        value: The mean over these blocks.

    Raises:
        optuna.TrialPruned: It falls behind, and is none of the settings that were asked for.
    """
    trial.report(value, number)
    if SETTING not in trial.user_attrs and trial.should_prune():
        raise optuna.TrialPruned


def _mend(journal: Path) -> None:
    """Cut off what a kill has left of a last line; the step that it tells of never happened."""
    if not journal.exists():
        return
    with journal.open("r+b") as file:
        text = file.read()
        if text and not text.endswith(b"\n"):
            file.truncate(text.rfind(b"\n") + 1)


def _beside(journal: Path, suffix: str) -> Path:
    return journal.with_name(f"{journal.name}.{suffix}")
