import numpy as np
import pytest

from domains import H
from tsmemory.evaluation.ablation import (
    AblationScores,
    RowFacts,
    pack_row,
    tabulate_ablation,
    unpack_row,
)
from tsmemory.evaluation.leaderboard import build_skill
from tsmemory.evaluation.methods import Fused, frozen
from tsmemory.evaluation.scores import score_methods
from tsmemory.memory.fusion import Fusion

HORIZONS = (4, H)
BOOTSTRAP = {"samples": 100, "level": 0.9}


def fused(adapter, weight):
    return Fused(adapter, Fusion(4, (weight,) * 3, (weight,) * 3, (1.0,) * 3))


def scored(split, methods, horizons=HORIZONS):
    return score_methods(
        split.up_to(max(horizons)),
        methods,
        horizons=horizons,
        seasonal_error=np.ones(2),
        stride=1,
        batch_size=100,
    )


@pytest.fixture(scope="module")
def known(halves):
    return scored(halves[1], {"frozen": [frozen]})


@pytest.fixture(scope="module")
def rows(halves, adapters):
    adapter, other = adapters.values()
    default = scored(halves[1], {"default": [fused(adapter, 0.3), fused(other, 0.3)]})
    short = scored(halves[1], {"short": [fused(adapter, 0.8)]}, (4,))
    return {
        "default": (default, RowFacts("as it is", HORIZONS, 2, 1, 11, 3.5)),
        "short": (short, RowFacts("one horizon", (4,), 1, 0, 12, 1.0)),
    }


@pytest.fixture(scope="module")
def ablation(known, rows):
    return AblationScores.join(known, rows)


def test_rows_keep_their_scores_beside_the_frozen_backbones(ablation, known, rows):
    assert list(ablation.facts) == ["frozen", "default", "short"]
    assert ablation.scores.seeds == {"frozen": 1, "default": 2, "short": 1}
    for number in range(2):
        assert ablation.scores.methods["frozen"].metrics(number) == known.methods["frozen"].metrics(
            number
        )
        expected = rows["default"][0].methods["default"].metrics(number)
        assert ablation.scores.methods["default"].metrics(number) == expected
    expected = rows["short"][0].methods["short"].metrics(0)
    assert ablation.scores.methods["short"].metrics(0) == expected
    assert not ablation.scores.methods["short"].count[:, 1].any()
    assert np.isnan(ablation.scores.below["short"][1]).all()


def test_rows_of_other_windows_are_refused(known, rows, halves):
    scores = scored(halves[0], {"default": [frozen]})
    with pytest.raises(ValueError, match="'default' was scored on other windows"):
        AblationScores.join(known, {"default": (scores, rows["default"][1])})


def test_a_row_survives_as_arrays(rows, tmp_path):
    for scores, facts in rows.values():
        np.savez(tmp_path / "row.npz", **pack_row(scores, facts))
        with np.load(tmp_path / "row.npz", allow_pickle=False) as kept:
            found, about = unpack_row(kept)
        assert about == facts
        (name,) = scores.methods
        assert found.methods[name].metrics(0) == scores.methods[name].metrics(0)
        np.testing.assert_array_equal(found.below[name], scores.below[name])
        np.testing.assert_array_equal(found.origin_time, scores.origin_time)
        assert (found.levels, found.stride) == (scores.levels, scores.stride)


def test_they_survive_on_disk(ablation, tmp_path):
    ablation.save_pretrained(tmp_path / "scores")
    read = AblationScores.from_pretrained(tmp_path / "scores")
    assert read.facts["short"] == ablation.facts["short"]
    assert np.isnan(read.facts["frozen"].seconds)
    for name, windows in ablation.scores.methods.items():
        np.testing.assert_array_equal(read.scores.methods[name].pinball, windows.pinball)
    assert ablation.summary()["rows"]["default"]["parameters"] == 11


def test_the_table_has_a_line_for_each_horizon_that_a_row_forecasts(ablation):
    table, _ = tabulate_ablation(ablation, rng=np.random.default_rng(0), **BOOTSTRAP)
    assert list(zip(table["row"], table["horizon"], strict=True)) == [
        *(("frozen", h) for h in HORIZONS),
        *(("default", h) for h in HORIZONS),
        ("short", 4),
    ]
    for line in table.itertuples():
        values = ablation.scores.methods[line.row].metrics(HORIZONS.index(line.horizon))
        assert (line.mse, line.mae, line.crps) == (values["mse"], values["mae"], values["crps"])
        assert line.coverage_80 == values["coverage_80"]
    short = table.iloc[-1]
    assert short[["seeds", "kept", "parameters", "seconds"]].tolist() == [1, 0, 12, 1.0]
    assert short["note"] == "one horizon"


def test_skill_is_one_minus_the_ratio_of_errors_with_the_leaderboards_intervals(ablation, halves):
    table, skill = tabulate_ablation(ablation, rng=np.random.default_rng(0), **BOOTSTRAP)
    lines = table.set_index(["row", "horizon"])
    for name, reference in (("short", "default"), ("short", "frozen"), ("default", "frozen")):
        error, other = lines.loc[(name, 4), "crps"], lines.loc[(reference, 4), "crps"]
        found = lines.loc[(name, 4), f"skill_vs_{reference}"]
        assert found == pytest.approx(1 - error / other)
    for name in ("frozen", "default"):
        assert np.isnan(lines.loc[(name, 4), f"skill_vs_{name}"])
    board = build_skill(
        ablation.scores, halves[1].series, rng=np.random.default_rng(0), **BOOTSTRAP
    )
    board = board[(board["channel"] == "all") & (board["method"] == "default")]
    ours = skill[(skill["row"] == "default") & (skill["reference"] == "frozen")]
    for column in ("skill", "low", "high"):
        np.testing.assert_allclose(ours[column], board[column])
    assert "short" not in skill.loc[skill["horizon"] == H, "row"].tolist()


def test_without_a_default_row_there_is_no_skill_against_it(known, rows):
    only = AblationScores.join(known, {"short": rows["short"]})
    table, skill = tabulate_ablation(only, rng=np.random.default_rng(0), **BOOTSTRAP)
    assert table["skill_vs_default"].isna().all()
    assert set(skill["reference"]) == {"frozen"}


def test_a_shorter_split_is_a_slice(halves):
    split = halves[1]
    short = split.up_to(4)
    assert short.windows.horizon == 4
    np.testing.assert_array_equal(
        short.windows.targets(split.series), split.windows.targets(split.series)[:, :4]
    )
    np.testing.assert_array_equal(short.forecasts.quantiles, split.forecasts.quantiles[:, :, :4])
    np.testing.assert_array_equal(short.forecasts.keys, split.forecasts.keys)
    assert split.forecasts.levels == short.forecasts.levels
