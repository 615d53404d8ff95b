"""The leakage invariants of METHOD 1.3: what is changed where nobody may look changes nothing.

Every artefact of the main way is made twice, from two panels that differ only at or after a border,
and compared bit by bit.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from builders import LEVELS
from tsmemory.backbones import load_backbone
from tsmemory.memory.adapter import AdapterConfig
from tsmemory.memory.closed_form import fit_closed_form
from tsmemory.memory.config import FusionConfig, GuardConfig, ObjectiveConfig, TrainingConfig
from tsmemory.memory.cross_fit import CrossFit
from tsmemory.memory.forecasts import forecast_windows
from tsmemory.memory.fusion_fit import fit_fusion
from tsmemory.memory.known_series import KnownSeries
from tsmemory.memory.split import Split, memory_parts
from tsmemory.memory.training import distil_seeds
from tsmemory.retrieval.datastore import Datastore
from tsmemory.retrieval.embeddings import embed_windows
from tsmemory.retrieval.keys import KeyConfig, KeyScaler, key_parts
from tsmemory.series.scaling import fit_scaler
from tsmemory.series.series_set import SeriesSet
from tsmemory.series.splits import split_borders
from tsmemory.series.windows import SPLITS, Windows, index_windows
from tsmemory.teacher.calibration_fit import fit_calibration
from tsmemory.teacher.neighbours import find_neighbours
from tsmemory.teacher.rerank import Rerank
from tsmemory.teacher.synthesis import Teacher, TeacherTargets

L, H, BLOCK, LENGTH = 32, 8, 4, 500
TRAIN_END, VALIDATION_END = 300, 400
CHANNELS = ("x", "y")
PLAIN = KeyConfig()
FUSION = FusionConfig(block=BLOCK, guard=GuardConfig(samples=200))


def make_panel():
    rng = np.random.default_rng(0)
    parts = []
    for item, begin in (("a", "2024-01-01"), ("b", "2024-01-02")):
        step = np.arange(LENGTH)
        frame = {"item_id": item, "timestamp": pd.date_range(begin, periods=LENGTH, freq="h")}
        for number, name in enumerate(CHANNELS):
            wave = np.sin(2 * np.pi * (step + 3 * number) / 8)
            frame[name] = 3 + wave + np.cumsum(rng.normal(0, 0.05, LENGTH))
            frame[name] += rng.normal(0, 0.3, LENGTH)
        parts.append(pd.DataFrame(frame))
    return pd.concat(parts, ignore_index=True)


class Artefacts:
    """Everything that one run makes."""

    def __init__(self, panel):
        borders = split_borders(panel, borders=(TRAIN_END, VALIDATION_END, LENGTH))
        self.scaler, _ = fit_scaler(panel, borders, min_length=L + H)
        self.series = SeriesSet.from_panel(panel, self.scaler, "h")
        self.index = index_windows(
            self.series,
            borders,
            context_length=L,
            horizons=(4, H),
            strides={"datastore": 1, "train": 3, "validation": 2, "test": 2},
            max_missing_share=0.1,
        )
        self.windows = {s: Windows.from_table(self.index, s, L, H) for s in SPLITS}
        self.backbone = load_backbone("seasonal_naive", season=8)
        self.keys = embed_windows(
            self.backbone,
            self.windows["datastore"],
            self.series,
            config=KeyConfig(),
            shard_size=200,
        )
        self.store = Datastore.build(
            self.keys,
            self.windows["datastore"],
            self.series,
            key=KeyConfig(),
            index_kind="flat",
            same_channel=True,
        )
        self.train, self.validation = (self._split(name) for name in ("train", "validation"))
        self.neighbours = find_neighbours(
            self.store,
            self.train.forecasts.keys,
            self.windows["train"],
            self.series,
            k=8,
            k_min=3,
            temperature=0.12,
            embargo="overlap",
            shard_size=500,
        )
        self.teacher = Teacher(self.store, self.series, LEVELS, 8, "midpoint")
        self.calibration = fit_calibration(
            self.teacher,
            self.windows["train"],
            self.neighbours,
            block=BLOCK,
            folds=2,
            queries=200,
            rng=np.random.default_rng(0),
        )
        self.teacher = replace(self.teacher, calibration=self.calibration)
        self.known = KnownSeries.from_training(self.series, self.windows["train"])
        self.cross_fit = CrossFit.fit(
            self.windows["datastore"], self.windows["train"], self.series, penalty=30.0, folds=3
        )
        self.taught = self.teacher.quantiles(self.windows["train"], self.neighbours, H)

    def _split(self, name):
        windows = self.windows[name]
        forecasts = forecast_windows(self.backbone, windows, self.series, shard_size=300)
        return Split(self.series, windows, forecasts)

    def learn(self):
        """The part of the run that may look at validation."""
        self.closed_form = fit_closed_form(
            self.windows["datastore"],
            self.train,
            self.windows["validation"],
            penalties=(1.0, 30.0, 1e3, 1e5),
            folds=3,
            config=FUSION,
        )
        self.adapters, self.curves = distil_seeds(
            self.train,
            self.validation,
            TeacherTargets(self.teacher, self.train.windows, self.neighbours),
            closed_form=self.closed_form,
            adapter=AdapterConfig(
                L, H, LEVELS, self.keys.shape[1], block=BLOCK, patch_length=8, width=8
            ),
            objective_config=ObjectiveConfig(),
            config=TrainingConfig(epochs=2, batch_size=64),
            fusion=replace(FUSION, guard=GuardConfig(enabled=False)),
            stride=2,
            seeds=(0,),
        )
        windows = self.windows["validation"]
        self.fusion = fit_fusion(
            memory_parts(self.validation, self.adapters.shipped),
            windows.calendar(self.series) + L,
            levels=LEVELS,
            horizon=H,
            stride=2,
            config=FUSION,
            rng=np.random.default_rng(0),
            season=8,
            training=self.adapters.evidence(0, self.closed_form),
        )
        return self


@pytest.fixture(scope="module")
def panel():
    return make_panel()


@pytest.fixture(scope="module")
def original(panel):
    return Artefacts(panel).learn()


def changed_from(panel, border, how):
    """The panel with other values at and after a border of every series."""
    step = panel.groupby("item_id").cumcount()
    changed, late = panel.copy(), step >= border
    for name in CHANNELS:
        if how == "missing":
            changed.loc[late & (step % 25 == 0), name] = np.nan
        else:
            changed.loc[late, name] = -40 * changed.loc[late, name] + 1000
    return changed


def assert_same_training_side(one, other):
    """What is made of the training part is the same, bit by bit.

    That is scaler, training windows, keys, datastore, teacher, the table of known series, and the
    ridges and levels that training windows are seen through.
    """
    pd.testing.assert_frame_equal(one.scaler, other.scaler, check_exact=True)
    for split in ("datastore", "train"):
        for name in ("row", "start", "limit"):
            np.testing.assert_array_equal(
                getattr(one.windows[split], name), getattr(other.windows[split], name)
            )
    for ours, theirs in (
        (one.keys, other.keys),
        (one.store.row, other.store.row),
        (one.store.start, other.store.start),
        (one.store.scaler.mean, other.store.scaler.mean),
        (one.store.scaler.scale, other.store.scaler.scale),
        (one.train.forecasts.quantiles, other.train.forecasts.quantiles),
        (one.neighbours.position, other.neighbours.position),
        (one.neighbours.weight, other.neighbours.weight),
        (one.taught, other.taught),
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert one.calibration == other.calibration
    assert one.known.to_json() == other.known.to_json()
    assert same_tensors(one.cross_fit.tensors(), other.cross_fit.tensors())


def same_tensors(one, other):
    assert set(one) == set(other)
    return all(torch.equal(one[name], other[name]) for name in one)


def same_state(one, other):
    return all(
        torch.equal(a, b)
        for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("how", ["values", "missing"])
def test_nothing_at_or_after_the_test_border_changes_anything(panel, original, how):
    other = Artefacts(changed_from(panel, VALIDATION_END, how)).learn()
    assert not np.array_equal(other.series.flat, original.series.flat, equal_nan=True)
    assert_same_training_side(original, other)
    before, after = (run.index[run.index["split"] != "test"] for run in (original, other))
    pd.testing.assert_frame_equal(before, after)
    np.testing.assert_array_equal(
        other.validation.forecasts.quantiles, original.validation.forecasts.quantiles
    )
    assert other.closed_form.summary() == original.closed_form.summary()
    assert torch.equal(other.closed_form.ridge.weight, original.closed_form.ridge.weight)
    assert same_tensors(
        other.closed_form.cross_fit.tensors(), original.closed_form.cross_fit.tensors()
    )
    assert other.curves == original.curves
    assert other.adapters.report == original.adapters.report
    assert same_state(other.adapters.shipped, original.adapters.shipped)
    assert other.fusion == original.fusion


@pytest.mark.parametrize("how", ["values", "missing"])
def test_nothing_at_or_after_the_validation_border_changes_scaler_datastore_or_teacher(
    panel, original, how
):
    other = Artefacts(changed_from(panel, TRAIN_END, how))
    assert_same_training_side(original, other)


def test_validation_does_choose_settings(panel, original):
    """The two tests above would also pass if nothing depended on anything."""
    other = Artefacts(changed_from(panel, TRAIN_END, "values")).learn()
    assert other.closed_form.penalties != original.closed_form.penalties
    assert other.fusion != original.fusion


def test_the_training_part_does_matter(panel, original):
    other = Artefacts(changed_from(panel, TRAIN_END - 1, "values"))
    assert not other.scaler.equals(original.scaler)
    assert not np.array_equal(other.taught, original.taught)
    assert other.known.to_json() != original.known.to_json()
    assert not same_tensors(other.cross_fit.tensors(), original.cross_fit.tensors())


@pytest.mark.parametrize("fold", [0, 1, 2])
def test_a_training_window_is_seen_through_what_knows_nothing_of_its_stretch(original, fold):
    """Neither its own target nor anything that its stretch touches moves its ridge or level."""
    series, known = original.series, original.cross_fit
    stored, windows = original.windows["datastore"], original.windows["train"]
    mine = windows.calendar(series)[known.fold == fold]
    flat = series.flat.copy()
    for row, begin in enumerate(series.offset):
        low, high = np.clip(
            [mine.min() - series.calendar[row], mine.max() + L + H - series.calendar[row]],
            0,
            series.length[row],
        )
        flat[begin + low : begin + high] = 2 - 3 * flat[begin + low : begin + high]
    changed = replace(series, flat=flat)
    after = CrossFit.fit(stored, windows, changed, penalty=30.0, folds=3)
    np.testing.assert_array_equal(after.fold, known.fold)
    np.testing.assert_array_equal(after.level[fold], known.level[fold])
    others = [number for number in range(3) if number != fold]
    moved = [number for number in others if number > fold or number == 0]  # levels look back
    assert (after.level[moved] != known.level[moved]).all()
    # Ridges are solved from sums less those of the stretch, which leaves a rounding.
    gap = (after.weight - known.weight).abs().amax(dim=(1, 2))
    assert gap[fold] < 2e-3
    assert (gap[others] > 10 * gap[fold]).all()


def own_teacher(run, flat, origin, embargo, key, rerank):
    """The teacher of one query of row 0, from a datastore made anew from ``flat``."""
    series = replace(run.series, flat=flat)
    stored = run.windows["datastore"]
    store = Datastore.build(
        embed_windows(run.backbone, stored, series, config=key, shard_size=10_000),
        stored,
        series,
        key=key,
        index_kind="flat",
        same_channel=False,
    )
    query = Windows(np.array([0]), np.array([origin - L]), np.array([TRAIN_END]), L, H)
    found = find_neighbours(
        store,
        run.backbone.embed(query.contexts(series)),
        query,
        series,
        k=8,
        k_min=3,
        temperature=0.12,
        embargo=embargo,
        shard_size=10,
        rerank=rerank,
    )
    teacher = Teacher(store, series, LEVELS, 8, "midpoint")
    return found, teacher.quantiles(query, found, H)


@pytest.fixture
def moved_target(original, monkeypatch):
    """A query's teacher before and after its own target has changed.

    The scaling of keys is held: it is fitted on all training windows, so any one value moves it a
    little, for every query alike.
    """
    stored, fit = original.windows["datastore"], KeyScaler.fit

    def compare(origin, embargo, key=PLAIN, rerank=None):
        keys = embed_windows(
            original.backbone, stored, original.series, config=key, shard_size=10_000
        )
        held = fit(keys, key_parts(key, keys.shape[1], original.series.freq))
        monkeypatch.setattr(KeyScaler, "fit", lambda _keys, _parts: held)
        flat = original.series.flat.copy()
        flat[origin : origin + H] = 50 - 3 * flat[origin : origin + H]  # row 0 begins at 0
        flats = (original.series.flat, flat)
        return [own_teacher(original, f, origin, embargo, key, rerank) for f in flats]

    return compare


@pytest.mark.parametrize("embargo", ["overlap", "causal"])
@pytest.mark.parametrize(
    ("origin", "key", "rerank"),
    [
        (120, KeyConfig(), None),
        (150, KeyConfig(), None),
        (250, KeyConfig(), None),
        (150, KeyConfig("window", phase_weight=0.5), None),
        (150, KeyConfig("tail", tail_length=12, statistics_weight=0.5), Rerank(30, 8)),
        (150, KeyConfig(phase_weight=0.5, statistics_weight=0.5), Rerank(30, 8, "affine")),
    ],
)
def test_the_target_of_a_training_query_does_not_move_its_own_teacher(
    moved_target, embargo, origin, key, rerank
):
    (found, taught), (found_after, taught_after) = moved_target(origin, embargo, key, rerank)
    assert (found.position >= 0).all()
    np.testing.assert_array_equal(found_after.position, found.position)
    np.testing.assert_array_equal(found_after.weight, found.weight)
    np.testing.assert_array_equal(taught_after, taught)


def test_without_embargo_the_target_moves_its_teacher(moved_target):
    """What the published setting lets through; the test above can fail."""
    (_, taught), (_, taught_after) = moved_target(150, "self")
    assert not np.allclose(taught_after, taught)


def test_no_neighbour_of_the_run_knows_a_step_of_its_query(original):
    row, start = original.store.neighbour_windows(original.neighbours.position.astype(np.int64))
    begin = original.series.calendar[row] + start
    query = original.windows["train"].calendar(original.series)[:, None]
    apart = (begin + L + H <= query) | (query + L + H <= begin)
    assert apart[original.neighbours.position >= 0].all()


def test_what_the_datastore_holds_lies_in_the_training_part(original):
    assert (original.store.start + L + H).max() <= TRAIN_END
