"""A runner that leaves out what is whole and current, and a session that uses it."""

import difflib
import inspect
from collections.abc import Iterable, Iterator
from typing import Any

from kedro.framework.session import KedroSession
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro.runner import AbstractRunner, SequentialRunner
from pluggy import PluginManager

from tsmemory.errors import UserError
from tsmemory.runs.artefacts import Catalog
from tsmemory.runs.errors import FailedRunError, RefusedRunError
from tsmemory.runs.record import RunRecord


class ResumingRunner(SequentialRunner):
    """Runs, one after another, the steps that the plan of the run does not find current.

    The plan is made by :class:`tsmemory.hooks.RunHooks` before the run; without those hooks every
    step runs.
    """

    def __str__(self) -> str:
        # Kedro-Viz follows a run only where its runner introduces itself in this way.
        return f"{super().__repr__()}, a kedro.runner.sequential_runner.SequentialRunner object"

    def run(
        self,
        pipeline: Pipeline,
        catalog: Catalog,
        hook_manager: PluginManager | None = None,
        run_id: str | None = None,
        only_missing_outputs: bool = False,
    ) -> dict[str, Any]:
        """Run what is left to do.

        Args:
            pipeline: What was asked for.
            catalog: The datasets.
            hook_manager: The session's hooks.
            run_id: The session's id.
            only_missing_outputs: As Kedro's; of no effect where there is a plan, which knows
                better than mere existence.

        Returns:
            The outputs of the whole pipeline, reused ones included.
        """
        record = _record_of(hook_manager, pipeline)
        if record is None:
            return super().run(pipeline, catalog, hook_manager, run_id, only_missing_outputs)
        super().run(record.reuse(), catalog, hook_manager, run_id)
        names = pipeline.outputs()
        return {name: catalog.get(name, fallback_to_runtime_pattern=True) for name in names}

    def _run(
        self,
        pipeline: Pipeline,
        catalog: Catalog,
        hook_manager: PluginManager | None = None,
        run_id: str | None = None,
    ) -> None:
        # Past SequentialRunner's own method, which only adds a hint at a deprecated flag.
        super(SequentialRunner, self)._run(pipeline, catalog, hook_manager, run_id)

    def _suggest_resume_scenario(
        self, pipeline: Pipeline, done_nodes: Iterable[Node], catalog: Catalog
    ) -> None:
        if done := len(set(done_nodes)):
            self._logger.warning(
                "%d of %d steps were completed; once the cause is mended, the same command goes on "
                "from there",
                done,
                len(pipeline.nodes),
            )


class ResumingSession(KedroSession):
    """Kedro's session, with :class:`ResumingRunner` in the place of the plain sequential one."""

    def run(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Run as :meth:`kedro.framework.session.KedroSession.run` does, one step after another.

        Raises:
            RefusedRunError: Another runner, or a pipeline that there is not, is asked for.
            FailedRunError: A step met something that the user can mend.
        """
        options = inspect.signature(super().run).bind(*args, **kwargs).arguments
        _refuse_unknown_pipelines(options.get("pipeline_names") or ())
        runner: AbstractRunner | None = options.get("runner")
        if runner is None or type(runner) is SequentialRunner:
            runner = ResumingRunner(is_async=bool(runner and runner._is_async))
        if not isinstance(runner, ResumingRunner):
            raise RefusedRunError(
                f"--runner {type(runner).__name__}: the steps of this project run one after "
                f"another, since they share memory-mapped artefacts, scratch space and one loaded "
                f"model; leave --runner out"
            )
        options["only_missing_outputs"] = False  # the plan knows better than mere existence
        try:
            return super().run(**options | {"runner": runner})
        except Exception as error:
            cause = _user_error(error)
            if cause is None:
                raise
            raise FailedRunError(str(cause)) from error
        finally:
            # Kedro's hooks do not hear of an interrupt from the keyboard.
            for record in _records(self._hook_manager):
                record.release()


def _refuse_unknown_pipelines(names: Iterable[str]) -> None:
    """Raise if one of the pipelines asked for is not registered."""
    from kedro.framework.project import pipelines

    known = sorted(pipelines)
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise RefusedRunError(
                f"--pipelines {name}: no such pipeline; {hint}known: {', '.join(known)}"
            )


def _user_error(error: BaseException | None) -> UserError | None:
    """The error that a user can mend, among an error and its causes."""
    while error is not None:
        if isinstance(error, UserError):
            return error
        error = error.__cause__ or error.__context__
    return None


def _records(hook_manager: PluginManager | None) -> Iterator[RunRecord]:
    """The records that hooks have opened."""
    for plugin in hook_manager.get_plugins() if hook_manager is not None else ():
        record = getattr(plugin, "record", None)
        if isinstance(record, RunRecord):
            yield record


def _record_of(hook_manager: PluginManager | None, pipeline: Pipeline) -> RunRecord | None:
    """The record that a hook has opened for this run."""
    return next((r for r in _records(hook_manager) if r.pipeline is pipeline), None)
