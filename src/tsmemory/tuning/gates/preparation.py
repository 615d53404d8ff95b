"""Taking samples of training and validation for the gates study, and searching neighbours once."""

from collections.abc import Sequence
from dataclasses import dataclass

from tsmemory.memory.closed_form import ClosedForm
from tsmemory.memory.config import AdapterSizes
from tsmemory.memory.split import Split
from tsmemory.metrics import season_length
from tsmemory.retrieval.datastore import Datastore
from tsmemory.tuning.gates.bench import GateBench, sizes_for
from tsmemory.tuning.gates.folds import Folds
from tsmemory.tuning.gates.pools import Pool, key_kinds, largest_pool, with_keys, without_index
from tsmemory.tuning.gates.sample import sample_windows
from tsmemory.tuning.gates.scores import Metric
from tsmemory.tuning.gates.settings import GateSettings, TeacherSettings
from tsmemory.tuning.gates.space import KS
from tsmemory.tuning.gates.stand_in import Stage


@dataclass(frozen=True)
class Fidelity:
    """How much a trial looks at.

    Attributes:
        lesson_steps: Target steps of the training windows that a stand-in is fitted on.
        train_steps: The same of those on which a fusion's form is looked at.
        validation_steps: Target steps of the validation windows that it is scored on.
        full_validation_steps: The same of a distilled setting.
        blocks: Blocks of validation.
    """

    lesson_steps: int = 2_000_000
    train_steps: int = 500_000
    validation_steps: int = 1_000_000
    full_validation_steps: int = 2_000_000
    blocks: int = 4

    def __post_init__(self) -> None:
        if min(vars(self).values()) < 1:
            raise ValueError("a trial has to look at some steps")
        if self.blocks < 2:
            raise ValueError(f"blocks must be at least 2, got {self.blocks}")


def numbers_of_neighbours(datastore: Datastore, teacher: TeacherSettings) -> list[int]:
    """Numbers of neighbours that a trial may ask for."""
    most = largest_pool(datastore)
    if teacher.rerank_pool:
        most = min(most, teacher.rerank_pool)
    return [k for k in KS if teacher.k_min <= k <= most]


def prepare_bench(
    train: Split,
    validation: Split,
    datastore: Datastore,
    closed_form: ClosedForm,
    teacher: TeacherSettings,
    adapter: AdapterSizes,
    settings: GateSettings,
    horizons: Sequence[int],
    seed: int,
    metric: Metric,
    fidelity: Fidelity,
) -> GateBench:
    """Samples of windows, and their neighbours by every key."""
    series, season = train.series, season_length(train.series.freq)

    def sample(steps: int) -> tuple[Split, ClosedForm]:
        rows = sample_windows(train.windows, series, steps=steps, season=season)
        return train.take(rows), closed_form.of_windows(rows)

    (some, own), (lessons, known) = sample(fidelity.train_steps), sample(fidelity.lesson_steps)
    largest = max([*numbers_of_neighbours(datastore, teacher), teacher.k])
    pools: dict[str, Pool] = {}
    for kind in key_kinds(datastore):
        store = with_keys(datastore, kind, series)
        pools[kind] = Pool.search(
            store, lessons.forecasts.keys, lessons.windows, series, k=largest, teacher=teacher
        )
    judged = sample_windows(
        validation.windows, series, steps=fidelity.validation_steps, season=season
    )
    folds = Folds.cut(
        validation.take(judged), blocks=fidelity.blocks, horizons=horizons, metric=metric, seed=seed
    )
    sizes = sizes_for(lessons, adapter, settings.fusion)
    stage = Stage.prepare(lessons, known, sizes, seed=seed)
    store = without_index(datastore)
    return GateBench(some, own, lessons, stage, folds, pools, store, teacher, adapter)
