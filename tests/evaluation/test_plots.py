import json

import numpy as np
import pandas as pd
import plotly.io as pio
import pytest

from tsmemory.evaluation.house_style import METHODS, TEMPLATE, in_order, style_of
from tsmemory.evaluation.plots import (
    draw_calibration,
    draw_fans,
    draw_fusion,
    draw_loss_curve,
    draw_skill,
)

GUARD = "guard: backbone only"


def loss_curve(seeds=(7, 8)):
    lines = []
    for seed in seeds:
        lines.append({"seed": seed, "epoch": 0, "validation": 0.30, "best": True})
        for epoch, (total, validation, best) in enumerate(
            [(0.5, 0.29, True), (0.4, 0.28 + seed / 1e4, True), (0.3, 0.31, False)], start=1
        ):
            line = {"total": total, "task": 0.2, "validation": validation, "best": best}
            lines.append({"seed": seed, "epoch": epoch, **line})
    return pd.DataFrame(lines)


def fusion(opened=(True, False, False, True), seeds=("0", "1")):
    verdicts = [
        {
            "block": block,
            "skill": 0.02,
            "p_value": 0.01 if open_ else 0.4,
            "bootstrap_block": 9,
            "pooled": False,
            "open": open_,
        }
        for block, open_ in enumerate(opened)
    ]
    weights = [0.5 if open_ else 0.0 for open_ in opened]
    return {
        seed: {
            "block": 24,
            "location": weights,
            "spread": [min(2 * weight, 1.0) for weight in weights],
            "factor": [1.1 + number / 10 for number in range(len(opened))],
            "report": {"guard": {"whole": verdicts}},
        }
        for seed in seeds
    }


def skill(horizons=(24, 96), channels=("a", "b"), **by_method):
    by_method = by_method or {"last_value": -0.8, "ridge": 0.01, "tsmemory": 0.04}
    lines = [
        {
            "method": method,
            "horizon": horizon,
            "channel": channel,
            "metric": metric,
            "skill": value + shift,
            "low": value + shift - 0.01 if horizon < 96 else np.nan,
            "high": value + shift + 0.02 if horizon < 96 else np.nan,
            "dm_statistic": 2.0,
            "dm_p": 0.03 if channel == "all" else np.nan,
        }
        for method, value in by_method.items()
        for horizon in horizons
        for channel in ("all", *channels)
        for metric, shift in (("mse", 0.001), ("mae", 0.002), ("crps", 0.0))
    ]
    return pd.DataFrame(lines)


def calibration(horizons=(24,)):
    levels = np.array([0.1, 0.5, 0.9])
    return pd.DataFrame(
        [
            {"method": method, "horizon": horizon, "level": level, "observed": level + bias}
            for method, bias in (("tsmemory", 0.01), ("frozen", 0.05), ("ridge", -0.02))
            for horizon in horizons
            for level in levels
        ]
    )


def fans(kinds=("best", "median", "worst")):
    lines = []
    for kind in kinds:
        for step in range(-3, 2):
            value = np.nan if step == -2 else 10.0 + step
            lines.append((kind, f"label of {kind}", step, "truth", np.nan, value))
        for method, middle in (("tsmemory", 11.0), ("frozen", 12.0)):
            for level in (0.1, 0.3, 0.5, 0.9):
                for step in (0, 1):
                    value = middle + step + 10 * (level - 0.5)
                    lines.append((kind, f"label of {kind}", step, method, level, value))
    columns = ["kind", "label", "step", "method", "level", "value"]
    return pd.DataFrame(lines, columns=columns).assign(skill=0.25)


def named(figure, name, **where):
    return [
        trace
        for trace in figure.data
        if trace.name == name and all(trace[key] == value for key, value in where.items())
    ]


def panel_titles(figure):
    return [annotation.text for annotation in figure.layout.annotations]


@pytest.mark.parametrize(
    "figure",
    [
        draw_loss_curve(loss_curve()),
        draw_fusion(fusion()),
        draw_skill(skill()),
        draw_calibration(calibration()),
        draw_fans(fans()),
    ],
    ids=["loss_curve", "fusion", "skill", "calibration", "fans"],
)
def test_figures_survive_json_and_fit_any_page(figure):
    text = pio.to_json(figure)
    assert json.loads(pio.to_json(pio.from_json(text))) == json.loads(text)
    assert figure.layout.title.text
    assert figure.layout.width is None
    template = figure.layout.template.layout
    assert template == pio.templates[TEMPLATE].layout
    assert template.paper_bgcolor == template.plot_bgcolor == "rgba(0,0,0,0)"


def luminance(colour):
    channels = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("method", METHODS)
def test_methods_can_be_read_on_light_and_dark_pages(method):
    own, dark = luminance(METHODS[method].colour) + 0.05, luminance("#111111") + 0.05
    assert 1.05 / own >= 3
    assert own / dark >= 3


def test_methods_are_told_apart_and_unknown_ones_are_grey():
    assert len({style.label for style in METHODS.values()}) == len(METHODS)
    assert len({style.symbol for style in METHODS.values()}) == len(METHODS)
    assert style_of("my_method").label == "my method"
    assert style_of("my_method").colour == METHODS["frozen"].colour
    assert in_order(["tsmemory", "my_method", "ridge"]) == ["my_method", "ridge", "tsmemory"]


def test_loss_curve_shows_both_losses_and_marks_the_last_best_epoch():
    curve = loss_curve()
    figure = draw_loss_curve(curve)
    for seed in (7, 8):
        own = curve[curve["seed"] == seed]
        validation, training = named(figure, f"seed {seed}")
        assert validation.x == (0, 1, 2, 3)
        assert validation.y == tuple(own["validation"])
        assert training.x == (1, 2, 3)
        assert training.y == (0.5, 0.4, 0.3)
        assert validation.yaxis != training.yaxis
        assert (validation.line.dash, training.line.dash) == ("solid", "dash")
    marks = named(figure, "best epoch")
    assert [mark.x for mark in marks] == [(2,), (2,)]
    assert [mark.y[0] for mark in marks] == pytest.approx([0.2807, 0.2808])
    assert [mark.showlegend for mark in marks] == [True, False]


def test_loss_curve_shows_the_rehearsal_beside_the_training():
    lines = [{"seed": 7, "epoch": n, "rehearsal": 0.3 - 0.01 * n, "best": n == 4} for n in range(5)]
    plain, curve = loss_curve(), pd.concat([loss_curve(), pd.DataFrame(lines)])
    figure = draw_loss_curve(curve)
    (rehearsal,) = [t for t in figure.data if t.name and t.name.startswith("rehearsal")]
    assert rehearsal.x == (0, 1, 2, 3, 4)
    assert rehearsal.y == pytest.approx([0.3, 0.29, 0.28, 0.27, 0.26])
    others = [trace for trace in figure.data if trace is not rehearsal]
    for one, other in zip(others, draw_loss_curve(plain).data, strict=True):
        assert (one.name, one.x, one.y) == (other.name, other.x, other.y)


def test_loss_curve_of_the_closed_form_alone():
    curve = pd.DataFrame([{"seed": 0, "epoch": 0, "validation": 0.3, "best": True}])
    figure = draw_loss_curve(curve)
    validation, training = named(figure, "seed 0")
    assert validation.y == (0.3,)
    assert training.y == ()
    assert named(figure, "best epoch")[0].x == (0,)


def test_fusion_draws_steps_of_the_shipped_seed_and_names_them():
    figure = draw_fusion(fusion())
    (location,) = named(figure, "location, seed 0")
    assert location.x == (0, 24, 48, 72, 96)
    assert location.y == (0.5, 0.0, 0.0, 0.5, 0.5)
    assert location.line.shape == "hv"
    assert "steps 25 to 48" in location.hovertext[1]
    assert "p = 0.4" in location.hovertext[1]
    (spread,) = named(figure, "spread, seed 0")
    assert spread.y == (1.0, 0.0, 0.0, 1.0, 1.0)
    (factor,) = named(figure, "factor, seed 0")
    assert factor.y == pytest.approx((1.1, 1.2, 1.3, 1.4, 1.4))
    assert factor.yaxis != spread.yaxis
    assert len(named(figure, "other seeds")) == 3
    assert len(named(figure, "other seeds", showlegend=True)) == 1


def test_fusion_shades_closed_stretches_in_both_panels():
    figure = draw_fusion(fusion(opened=(False, True, False, False)))
    stretches = [(shape.x0, shape.x1) for shape in figure.layout.shapes]
    assert sorted(stretches) == [(0, 24), (0, 24), (48, 96), (48, 96)]
    assert {shape.name for shape in figure.layout.shapes} == {GUARD}
    assert sum(bool(shape.showlegend) for shape in figure.layout.shapes) == 1


@pytest.mark.parametrize("opened", [(True,), (True, True, True)])
def test_fusion_shades_nothing_where_the_guard_is_open(opened):
    figure = draw_fusion(fusion(opened=opened, seeds=("0",)))
    assert not figure.layout.shapes
    assert not named(figure, "other seeds")


def test_fusion_draws_what_else_is_mixed():
    mixed = fusion(seeds=("0",))
    mixed["0"]["naive"] = {
        "last_value": [0.0] * 4,
        "seasonal": [0.4, 0, 0, 0.1],
        "long_run": [0, 0.3, 0, 0],
        "season": 24,
    }
    mixed["0"]["residuals"] = {"weight": [0.0, 0.2, 0.0, 0.0]}
    figure = draw_fusion(mixed)
    (seasonal,) = named(figure, "seasonal naive, seed 0")
    assert seasonal.y == (0.4, 0, 0, 0.1, 0.1)
    assert "steps 1 to 24: seasonal naive 0.4" in seasonal.hovertext[0]
    (long_run,) = named(figure, "long-run level, seed 0")
    assert long_run.y == (0, 0.3, 0, 0, 0)
    assert len(named(figure, "residual spread, seed 0")) == 1
    assert not named(figure, "last value, seed 0")


def test_fusion_without_a_report():
    plain = {key: value for key, value in fusion()["0"].items() if key != "report"}
    figure = draw_fusion({"0": plain})
    assert not figure.layout.shapes
    assert "guard" not in named(figure, "location, seed 0")[0].hovertext[0]


def test_skill_is_shown_in_percent_with_its_intervals():
    figure = draw_skill(skill())
    left, right = named(figure, "tsmemory", meta="crps")
    assert left.y == pytest.approx((4.0, 4.0))
    assert np.round(left.x).tolist() == [0, 1]
    assert figure.layout.xaxis.ticktext == ("24", "96")
    assert left.error_y.array[0] == pytest.approx(2.0)
    assert left.error_y.arrayminus[0] == pytest.approx(1.0)
    assert np.isnan(left.error_y.array[1])
    assert "from 3.0% to 6.0%" in left.hovertext[0]
    assert "from" not in left.hovertext[1]
    assert "p = 0.03" in left.hovertext[0]
    assert set(right.y) == {"a", "b"}
    assert right.x == pytest.approx((4.0, 4.0))
    assert panel_titles(figure)[1] == "tsmemory, 96 steps ahead"


def test_skill_sorts_channels():
    table = skill(channels=("low", "high", "middle"))
    shift = table["channel"].map({"low": -0.02, "high": 0.02}).fillna(0)
    figure = draw_skill(table.assign(skill=table["skill"] + shift))
    assert figure.layout.yaxis2.categoryarray == ("low", "middle", "high")


def test_skill_names_many_channels_sparsely_and_briefly():
    channels = [f"a rather long channel {number:02}" for number in range(60)]
    figure = draw_skill(skill(channels=channels))
    assert set(named(figure, "tsmemory", meta="crps")[1].y) == set(channels)
    assert len(figure.layout.yaxis2.tickvals) == 20
    assert {len(name) for name in figure.layout.yaxis2.ticktext} == {16}


def test_skill_buttons_switch_metric_and_axis():
    figure = draw_skill(skill())
    (menu,) = figure.layout.updatemenus
    assert [button.label for button in menu.buttons] == ["CRPS", "MSE", "MAE"]
    assert {trace.meta for trace in figure.data if trace.visible} == {"crps"}
    for button, metric in zip(menu.buttons, ("crps", "mse", "mae"), strict=True):
        seen, axis = button.args
        assert seen["visible"] == [trace.meta == metric for trace in figure.data]
        low, high = axis["yaxis.range"]
        assert low < 0 < 4 < high
    assert list(figure.layout.yaxis.range) == list(menu.buttons[0].args[1]["yaxis.range"])


def test_skill_pins_hopeless_methods_to_the_lower_edge():
    figure = draw_skill(skill())
    low, _ = figure.layout.yaxis.range
    usual, pinned = named(figure, "last value", meta="crps")
    assert np.isnan(usual.y).all()
    assert low < min(pinned.y) < 0
    assert pinned.marker.symbol == "triangle-down"
    assert "-80.0%" in pinned.hovertext[0]
    assert not pinned.showlegend
    near = draw_skill(skill(ridge=-0.03, tsmemory=0.02))
    (ridge,) = named(near, "ridge", meta="crps")
    assert ridge.y == pytest.approx((-3.0, -3.0))


def test_skill_of_one_horizon_channel_and_metric():
    table = skill(horizons=(96,), channels=("1",), my_method=0.1, tsmemory=0.0)
    figure = draw_skill(table[table["metric"] == "mae"])
    assert [button.label for button in figure.layout.updatemenus[0].buttons] == ["MAE"]
    assert all(trace.visible for trace in figure.data)
    assert named(figure, "my method")[0].y == pytest.approx((10.2,))
    assert figure.layout.yaxis2.type == "category"


def test_calibration_lets_two_methods_stand_out():
    figure = draw_calibration(calibration())
    assert [trace.name for trace in figure.data] == [
        "calibrated",
        "ridge",
        "frozen backbone",
        "tsmemory",
    ]
    diagonal, ridge, frozen, own = figure.data
    assert diagonal.x == diagonal.y == (0, 1)
    assert own.x == (0.1, 0.5, 0.9)
    assert own.y == pytest.approx((0.11, 0.51, 0.91))
    assert ridge.opacity < frozen.opacity == own.opacity
    assert ridge.line.width < frozen.line.width


def test_calibration_has_a_panel_for_each_of_four_horizons():
    figure = draw_calibration(calibration(horizons=(24, 96, 192, 336, 720)))
    assert panel_titles(figure) == [f"up to {h} steps ahead" for h in (24, 96, 336, 720)]
    assert len(named(figure, "tsmemory")) == 4
    assert len(named(figure, "tsmemory", showlegend=True)) == 1


def test_names_cannot_be_markup():
    figure = draw_fans(fans().assign(label="<b>x</b> & <a href='y'>z</a>"))
    assert "&lt;b&gt;x&lt;/b&gt; &amp; &lt;a href='y'&gt;z" in panel_titles(figure)[0]
    drawn = draw_skill(skill(channels=("<i>a</i>", "b")))
    assert "&lt;i&gt;a&lt;/i&gt;" in drawn.layout.yaxis2.ticktext
    texts = [text for trace in named(drawn, "tsmemory") for text in trace.hovertext]
    assert any("&lt;i&gt;a&lt;/i&gt;" in text for text in texts)
    assert not any("<i>" in text for text in texts)


def test_fans_show_truth_band_and_median_in_steps_ahead():
    figure = draw_fans(fans())
    # Panels count from the bottom.
    assert panel_titles(figure) == [
        "worst: label of worst, skill 25.0%",
        "median: label of median, skill 25.0%",
        "best: label of best, skill 25.0%",
    ]
    truth = named(figure, "truth", yaxis="y")[0]
    assert truth.x == (-2, -1, 0, 1, 2)
    assert np.isnan(truth.y[1])
    assert truth.y[2:] == (9, 10, 11)
    median = named(figure, "tsmemory", yaxis="y")[0]
    assert median.x == (1, 2)
    assert median.y == pytest.approx((11, 12))
    lower, upper, _ = [t for t in figure.data if (t.legendgroup, t.yaxis) == ("frozen", "y")]
    assert lower.y == pytest.approx((8, 9))
    assert upper.y == pytest.approx((16, 17))
    assert upper.fill == "tonexty"


def test_fans_name_each_method_once():
    figure = draw_fans(fans())
    shown = [trace.name for trace in figure.data if trace.showlegend]
    assert sorted(shown) == ["frozen backbone", "truth", "tsmemory"]


def test_fans_of_one_window():
    figure = draw_fans(fans(kinds=("median",)))
    assert panel_titles(figure) == ["median: label of median, skill 25.0%"]
    assert len(figure.data) == 7
