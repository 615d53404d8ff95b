"""Working through a study: one process or several, a progress bar, an orderly stop."""

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path
from types import FrameType
from typing import Any

import optuna

from tsmemory.progress import track
from tsmemory.tuning.plan import StudyPlan
from tsmemory.tuning.study import Objective, Worker, finished

_LOOK_EVERY = 0.1  # seconds between looks at what other processes have done
logger = logging.getLogger(__name__)


def run_study(
    journal: Path, plan: StudyPlan, objective: Objective, *, workers: int = 1
) -> optuna.Study:
    """Bring a study to the number of trials that it should have.

    An interrupt from the keyboard stops after the trial that is under way, a second one at once;
    either way the next run goes on from there. Where a worker ends early, the caller's own process
    does what is left, and so meets the worker's error if there was one.

    Args:
        journal: The journal.
        plan: What the study is.
        objective: Its value or values; with several workers it is sent to processes of their own.
        workers: Processes, each with one thread if there are several.

    Returns:
        The study, with fewer trials only where its time was over.

    Raises:
        KeyboardInterrupt: It was interrupted; whatever was tried is kept.
    """
    with OrderlyStop() as stop, Worker(journal, plan) as worker:
        before, left = len(finished(worker.study)), worker.left()
        if before:
            logger.info("Study %s goes on after %d trials", plan.name, before)
        if workers > 1 and left > 1:
            _share(journal, plan, objective, workers, stop, worker)
        for _ in track(range(worker.left()), f"Study {plan.name}"):
            if stop.asked or not worker.step(objective):
                break
        done = len(finished(worker.study))
        if stop.asked:
            logger.warning("Study %s was stopped after %d trials", plan.name, done)
            raise KeyboardInterrupt
        if done < plan.trials:
            logger.warning(
                "The time of study %s was over after %d of %d trials", plan.name, done, plan.trials
            )
        return worker.study


class OrderlyStop:
    """Takes an interrupt from the keyboard as a wish to stop when it is convenient.

    Attributes:
        asked: Whether there was one.
    """

    def __init__(self) -> None:
        """Nothing is changed until it is entered."""
        self.asked = False
        self._before: Any = None

    def __enter__(self) -> "OrderlyStop":
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        logger.warning("Stopping after this trial; a second interrupt stops at once")


def _share(
    journal: Path,
    plan: StudyPlan,
    objective: Objective,
    count: int,
    stop: OrderlyStop,
    watcher: Worker,
) -> None:
    """Let processes work through a study while this one watches.

    They are spawned: a fork after torch or faiss have used threads hangs.
    """
    context = multiprocessing.get_context("spawn")
    enough = context.Event()
    processes = [
        context.Process(target=_serve, args=(journal, plan, objective, enough), daemon=True)
        for _ in range(count)
    ]
    before = len(finished(watcher.study))
    with _one_thread():
        for process in processes:
            process.start()
    try:
        for number in track(range(watcher.left()), f"Study {plan.name}"):
            while len(finished(watcher.study)) <= before + number:
                if stop.asked:
                    enough.set()
                if not any(process.is_alive() for process in processes):
                    break
                time.sleep(_LOOK_EVERY)
    finally:
        enough.set()
        for process in processes:
            process.join()


def _serve(journal: Path, plan: StudyPlan, objective: Objective, enough: Event) -> None:
    """Work in a process of its own until nothing is left or enough is done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's goes to every process
    parent = multiprocessing.parent_process()
    with Worker(journal, plan) as worker:
        while not enough.is_set() and (parent is None or parent.is_alive()):
            if not worker.step(objective):
                break


@contextmanager
def _one_thread() -> Iterator[None]:
    """Processes that start inside compute on one thread each: more of them get in their way."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value
