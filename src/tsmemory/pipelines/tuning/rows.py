"""The settings that are compared on test: each is the main way with other parameters."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from tsmemory.pipelines.base_params import Params
from tsmemory.pipelines.benchmark.main_way import MainWay, run_row
from tsmemory.pipelines.benchmark.rows import Settings
from tsmemory.pipelines.lazy_types import MethodScores, RowFacts, ShardCache
from tsmemory.series.windows import Windows

P = TypeVar("P", bound=Params)


@dataclass(frozen=True)
class Contest:
    """Where settings are trained and scored, all alike.

    Attributes:
        main_way: The main way's artefacts.
        given: The parameters that they were made with; its seeds train every setting.
        batch_size: Test windows at a time.
        seed: Draws bootstraps and samples.
    """

    main_way: MainWay
    given: Settings
    batch_size: int
    seed: int

    def run(
        self, name: str, note: str, overrides: Mapping[str, Any], workspace: ShardCache
    ) -> tuple[MethodScores, RowFacts]:
        """Train, fuse and score one setting.

        Args:
            name: What the row is called.
            note: What it is, for people.
            overrides: Values for parameters by block, as studies give them.
            workspace: Where an unfinished search is kept.

        Returns:
            Scores on the test windows, and what is told beside them.
        """
        from tsmemory.tuning.gates.bench import closed_form_for
        from tsmemory.tuning.gates.pools import with_keys

        settings, way = self._settings(overrides), self.main_way
        kind = overrides.get("indexing", {}).get("key_kind", way.datastore.key.kind)
        way = replace(way, datastore=with_keys(way.datastore, kind, way.series))
        if settings.distillation.fusion != self.given.distillation.fusion:
            closed_form = closed_form_for(
                self._train(), way.closed_form, settings.distillation.fusion
            )
            way = replace(way, closed_form=closed_form)
        if settings.teacher != self.given.teacher or way.datastore is not self.main_way.datastore:
            way = way.retaught(settings, workspace, self.seed)
        return run_row(
            name,
            note,
            way,
            settings,
            settings,
            workspace=workspace,
            batch_size=self.batch_size,
            seed=self.seed,
        )

    def _settings(self, overrides: Mapping[str, Any]) -> Settings:
        return replace(
            self.given,
            teacher=overridden(self.given.teacher, overrides.get("teacher", {})),
            distillation=overridden(self.given.distillation, overrides.get("distillation", {})),
        )

    def _train(self) -> Any:
        from tsmemory.memory.split import Split

        windowing, way = self.given.windowing, self.main_way
        lengths = (windowing.context_length, windowing.longest)
        windows = Windows.from_table(way.window_index, "train", *lengths)
        return Split(way.series, windows, way.train_forecasts)


def renamed(row: tuple[MethodScores, RowFacts], name: str) -> tuple[MethodScores, RowFacts]:
    """A row under another name, where two settings turn out to be one.

    Args:
        row: Scores of one method, and what is told beside them.
        name: The name.
    """
    scores, facts = row
    ((old, windows),) = scores.methods.items()
    same = replace(
        scores,
        methods={name: windows},
        seeds={name: scores.seeds[old]},
        below={name: scores.below[old]},
    )
    return same, facts


def overridden(params: P, values: Mapping[str, Any]) -> P:
    """Parameters with some values in the place of their own, checked like any others.

    Args:
        params: Parameters of a pipeline.
        values: Nested mappings; what they do not name stays.
    """
    return type(params).model_validate(merged(params.model_dump(), values))


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings as one; where both have a value, the second's."""
    found = dict(under)
    for name, value in over.items():
        both = isinstance(value, Mapping) and isinstance(found.get(name), Mapping)
        found[name] = merged(found[name], value) if both else value
    return found
