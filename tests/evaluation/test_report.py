"""The report: complete, bounded, readable without a network, safe with any name."""

import json
from collections import Counter
from datetime import UTC, datetime
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from tsmemory.evaluation.report.content import Results, build_report, describe_run
from tsmemory.evaluation.report.page import render_data, render_page
from tsmemory.evaluation.report.parts import MOST_ROWS
from tsmemory.evaluation.report.score_tables import REQUIRED

RUN_METHODS = ("last_value", "seasonal_naive", "ridge", "frozen", "online_knn", "tsmemory")
SECTIONS = [
    *("leaderboard", "skill", "forecasts", "fusion", "calibration", "teacher", "cost"),
    *("data", "run"),
]
MADE = datetime(2024, 5, 6, 7, 8, tzinfo=UTC)
NASTY = "<b>x</b>"


def leaderboard(horizons, gain, intervals):
    lines = []
    for place, method in enumerate(RUN_METHODS):
        for horizon in horizons:
            for metric in ("mse", "mae", "crps", "wql", "coverage_80"):
                value = 0.8 - 0.05 * place + horizon / 1000
                if method == "tsmemory":
                    frozen = 0.8 - 0.05 * RUN_METHODS.index("frozen") + horizon / 1000
                    value = frozen * (1 - gain)
                if metric == "coverage_80":
                    value = 0.78
                ends = (value - 0.01, value + 0.01) if intervals else (np.nan, np.nan)
                lines.append((method, horizon, metric, value, *ends, 3 if place == 5 else 1))
    columns = ["method", "horizon", "metric", "value", "low", "high", "seeds"]
    return pd.DataFrame(lines, columns=columns)


def skill(horizons, channels, gain, intervals):
    lines = []
    for method in RUN_METHODS:
        for horizon in horizons if method != "frozen" else ():
            for number, channel in enumerate(("all", *channels)):
                for metric in ("mse", "mae", "crps"):
                    value = gain + number / 1000 if method == "tsmemory" else -0.2
                    ends = (value - 0.01, value + 0.02) if intervals else (np.nan, np.nan)
                    p = 0.012 if channel == "all" else np.nan
                    lines.append((method, horizon, channel, metric, value, *ends, -2.0, p))
    columns = ["method", "horizon", "channel", "metric", "skill", "low", "high"]
    return pd.DataFrame(lines, columns=[*columns, "dm_statistic", "dm_p"])


def fans(item):
    lines = []
    for kind in ("best", "median", "worst"):
        lines += [(kind, f"{item}, c", step, "truth", np.nan, 1.0 * step) for step in range(-3, 2)]
        for method in ("frozen", "tsmemory"):
            lines += [
                (kind, f"{item}, c", step, method, level, level + step)
                for level in (0.1, 0.5, 0.9)
                for step in (0, 1)
            ]
    columns = ["kind", "label", "step", "method", "level", "value"]
    return pd.DataFrame(lines, columns=columns).assign(skill=0.1)


def fusion(weight, blocks, seeds):
    verdict = {"skill": 0.03, "p_value": 0.004, "bootstrap_block": 9, "pooled": False}
    whole = [{**verdict, "block": number, "open": weight > 0} for number in range(blocks)]
    return {
        str(seed): {
            "block": 24,
            "location": [weight] * blocks,
            "spread": [weight] * blocks,
            "factor": [1.1] * blocks,
            "report": {"guard": {"whole": whole}},
        }
        for seed in range(seeds)
    }


def diagnosis(horizons):
    return pd.DataFrame(
        [
            {"split": split, "embargo": embargo, "horizon": horizon, "metric": metric}
            | {"value": 0.5, "queries": 100}
            for split, embargo in (("train", "self"), ("train", "overlap"), ("validation", "none"))
            for horizon in horizons
            for metric in ("mae", "coverage", "overlap_share")
        ]
    )


def cost():
    lines = [
        ("frozen", 24, 1, "latency_ms_per_window", 3.2),
        ("tsmemory", 24, 1, "latency_ms_per_window", 3.6),
        ("tsmemory", 24, 1, "latency_ratio", 1.125),
        ("tsmemory", 24, np.nan, "flops_per_window", 1e6),
        ("tsmemory", np.nan, np.nan, "artefact_bytes", 1_234_567.0),
    ]
    return pd.DataFrame(lines, columns=["method", "horizon", "batch", "metric", "value"])


def run_card(channels, skipped, horizons):
    windowing = {"horizons": list(horizons), "strides": {"test": 5}}
    return describe_run(
        domain="mine",
        panel={
            **{"file": "mine.csv", "sha256": "ab", "rows": 1000, "items": 1, "freq": "h"},
            **{"start": "2024-01-01T00:00:00", "end": "2024-03-01T00:00:00"},
            "channels": list(channels),
            "missing_share": dict.fromkeys(channels, 0.25),
            "gaps": {"rows": 3, "stretches": 1, "longest": 3},
            **{"unsorted_rows": 0, "duplicate_rows": 0, "moved_rows": 0},
            "ignored_columns": {"note": "not numeric"},
            "warnings": ["something was odd"],
        },
        windows={
            "splits": {"train": {"kept": 5, "left_out": 1}, "test": {"kept": 1234, "left_out": 0}},
            "rows_without_training_windows": [],
        },
        skipped=skipped,
        backbone={
            **{"name": "bundled", "fingerprint": "cd", "licence": "Apache-2.0"},
            "pretraining_data": "synthetic",
            "pretraining_datasets": None,
            "native_horizon": 64,
            "benchmark": "etth1",
            "contamination": "It was trained on etth1.",
        },
        parameters={
            "windowing": windowing,
            "backbone": {"rollout": "median"},
            "evaluation": {"bootstrap": {"level": 0.95}},
            "seed": 0,
        },
        fingerprints={"input": "ab", "packages": {"torch": "2.13.0"}},
    )


def results(
    horizons=(24, 96),
    channels=("a", "b"),
    *,
    gain=0.04,
    intervals=True,
    item="s0",
    seeds=3,
    skipped=(),
):
    calibration = pd.DataFrame(
        [
            {"method": method, "horizon": horizon, "level": level, "observed": level + 0.02}
            for method in RUN_METHODS
            for horizon in horizons
            for level in (0.1, 0.5, 0.9)
        ]
    )
    return Results(
        leaderboard=leaderboard(horizons, gain, intervals),
        skill=skill(horizons, channels, gain, intervals),
        calibration=calibration,
        cost=cost(),
        fans=fans(item),
        fusion=fusion(0.5 if gain else 0.0, max(horizons) // 24, seeds),
        oracle_gap=oracle_gap(max(horizons) // 24),
        teacher={"queries": 100, "k": 20, "leak": {"24": {"self": 0.2, "validation": 0.7}}},
        teacher_diagnosis=diagnosis(horizons),
        neighbours=neighbours(item),
        run=run_card(channels, skipped, horizons),
    )


def neighbours(item):
    """Two steps of one query with one neighbour."""
    lines = [("truth", None, None, 1.0), ("neighbour", 1, None, 1.5), ("frozen", None, 0.5, 2.0)]
    lines += [("teacher", None, level, 2 * level) for level in (0.1, 0.5, 0.9)]
    columns = ["source", "rank", "level", "value"]
    steps = [pd.DataFrame(lines, columns=columns).assign(step=step) for step in (0, 1)]
    about = {"kind": "median", "label": item, "confidence": 0.3, "skill": 0.1}
    return pd.concat(steps, ignore_index=True).assign(weight=1.0, stored=item, **about)


def oracle_gap(blocks):
    """Errors of each block and of all, and one weight."""
    lines = [("weight_memory", 1, 24, 0.5, 0.7, 0.2)]
    lines += [("mse", 24 * b + 1, 24 * (b + 1), 0.4, 0.38, 0.05) for b in range(blocks)]
    lines.append(("mse", 1, 24 * blocks, 0.4, 0.38, 0.05))
    columns = ["quantity", "first_step", "last_step", "chosen", "oracle", "gap"]
    return pd.DataFrame(lines, columns=columns)


class Page(HTMLParser):
    """What a browser would see of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.attributes, self.rows = Counter(), [], [], {}
        self.words, self._table, self._quiet = [], None, False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        found = dict(attrs)
        self.attributes.append((tag, found))
        self.links += [found[name] for name in ("src", "href", "srcset", "data") if name in found]
        self._quiet = tag in ("script", "style")
        if tag == "table":
            self._table = found["id"]
            self.rows[self._table] = 0
        if tag == "tr":
            self.rows[self._table] += 1

    def handle_endtag(self, tag):
        self._quiet = False

    def handle_data(self, data):
        if not self._quiet:
            self.words.append(" ".join(data.split()))

    @property
    def text(self):
        return " ".join(self.words)


def made(*args, **more):
    """Page and data of made-up results."""
    report = build_report(results(*args, **more), MADE)
    text = render_page(report)
    return Page(text), text, render_data(report)


@pytest.fixture(scope="module")
def usual():
    return made(skipped=[{"item_id": "s9", "channel": "c", "reason": "constant"}])


def figures(text):
    """The figures that the page draws."""
    start = text.index('id="figures">') + len('id="figures">')
    return json.loads(text[start : text.index("</script>", start)])


def test_every_section_is_there_in_order(usual):
    page, text, data = usual
    ids = [found["id"] for tag, found in page.attributes if tag == "section"]
    assert ids == SECTIONS == list(data["sections"])
    assert set(figures(text)) == {"skill", "fans", "fusion", "calibration", "neighbours", "cost"}
    assert "2024-05-06T07:08+00:00" in page.text
    assert "1,234 windows, stride 5 (benchmark numbers use 1)" in page.text
    assert "beyond 64 steps the backbone is rolled out (median)" in page.text
    for told in ("constant", "something was odd", "1.2 MB", "not numeric", "2.13.0"):
        assert told in page.text, told


def test_the_verdict_comes_first(usual):
    page, _, data = usual
    first, second = data["verdict"]
    assert "frozen backbone (bundled) is +4.0 % at 24 steps (from +3.0 to +6.0 %)" in plain(first)
    assert "the memory is used at all steps (seed 0, which is shipped; all of" in second
    words = plain(page.text)
    assert words.index("+4.0 % at 24 steps") < words.index("It was trained on etth1.")
    assert words.index("It was trained on etth1.") < words.index("CRPS skill, 24 steps")


def plain(text):
    return text.replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize("metric", ["crps", "mse", "mae"])
def test_every_required_row_is_there_whether_it_was_run_or_not(usual, metric):
    table = _table(results(), f"leaderboard_{metric}")
    assert len(table.rows) == len(REQUIRED)
    told = {row[0].text: [cell.text for cell in row[1:]] for row in table.rows}
    assert told["LoRA"] == told["TRACE"] == ["not run"] * 3
    assert table.columns == ("method", "24 steps", "96 steps", "mean of 2")
    ours = next(row for row in table.rows if row[0].text == "tsmemory")
    best = {row[0].text for row in table.rows if row[1].tone == "best"}
    assert best == {"online kNN"}
    assert ours[0].note == "mean of 3 seeds"
    assert ours[1].text == "0.647"
    assert ours[1].note == "0.637 to 0.657 · p = .012"
    assert ours[3].text == "0.682"


def _table(made_of, name):
    report = build_report(made_of, MADE)
    return next(table for part in report.sections for table in part.tables if table.name == name)


def test_the_page_needs_no_network(usual):
    page, text, _ = usual
    assert page.links
    assert all(link.startswith("#") for link in page.links)
    assert not page.tags["link"]
    assert not page.tags["img"]
    assert page.tags["script"] == 3
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    policy = next(found for _, found in page.attributes if "http-equiv" in found)["content"]
    assert "default-src 'none'" in policy
    assert "http" not in policy
    assert len(text.encode()) < 6e6


def test_the_page_can_be_read_aloud_and_in_the_dark(usual):
    page, text, data = usual
    tables = sum(len(part["tables"]) for part in data["sections"].values())
    assert page.tags["table"] == page.tags["caption"] == tables
    drawn = [found for _, found in page.attributes if "data-figure" in found]
    assert len(drawn) == 6
    assert all(found["role"] == "img" and len(found["aria-label"]) > 20 for found in drawn)
    assert ("html", {"lang": "en"}) in page.attributes
    assert "@media (prefers-color-scheme: dark)" in text
    assert "best of the column" in text


def test_names_are_shown_as_they_are():
    page, text, data = made(
        channels=(NASTY, "</script><script>alert(1)</script>"),
        item=NASTY,
        skipped=[{"item_id": NASTY, "channel": "c", "reason": "<i>r</i>"}],
    )
    assert not page.tags["b"]
    assert not page.tags["i"]
    assert page.tags["script"] == 3
    assert "</script><script>alert" not in text
    assert page.text.count(NASTY) >= 3
    titles = [note["text"] for note in figures(text)["fans"]["layout"]["annotations"]]
    assert all("&lt;b&gt;x&lt;/b&gt;, c" in title for title in titles)
    skipped = data["sections"]["data"]["tables"]["skipped"]["data"]
    assert skipped[0]["item_id"] == NASTY


def test_one_channel():
    page, _, data = made(horizons=(24,), channels=("only",), seeds=1)
    assert page.rows["table-skill_by_channel"] == 2
    assert page.rows["table-leaderboard_crps"] == 1 + len(REQUIRED)
    assert _table(results(horizons=(24,)), "leaderboard_crps").columns == ("method", "24 steps")
    assert any("Only 1 training seed" in sentence for sentence in data["warnings"])
    assert "0 of 0" not in data["verdict"][1]


def test_many_channels_stay_bounded_and_none_is_lost():
    channels = tuple(f"channel {number:02}" for number in range(50))
    skipped = [{"item_id": f"s{n}", "channel": "c", "reason": "short"} for n in range(200)]
    page, text, data = made(
        horizons=(24, 48, 96, 192, 336, 720), channels=channels, skipped=skipped
    )
    assert max(page.rows[name] for name in page.rows if name != "table-parameters") <= 1 + MOST_ROWS
    assert page.rows["table-skill_by_channel"] == page.rows["table-skipped"] == 1 + MOST_ROWS
    assert "26 more" in page.text
    assert "176 more" in page.text
    table = _table(results(channels=channels), "skill_by_channel")
    shown = [row[0].text for row in table.rows]
    assert shown[0] == "channel 00"
    assert shown[-1] == "channel 49"
    kept = data["sections"]["skill"]["tables"]["skill_by_channel"]["data"]
    assert {line["channel"] for line in kept} == set(channels)
    assert len(data["sections"]["data"]["tables"]["skipped"]["data"]) == 200
    assert len(text.encode()) < 6e6


def test_an_idle_memory_is_called_idle():
    page, _, data = made(gain=0.0)
    assert "the frozen backbone alone at all steps" in data["verdict"][1]
    assert "fused in 0 of 4 horizon blocks" in page.text
    tables = data["sections"]["fusion"]["tables"]
    assert not any(line["used"] for line in tables["fusion"]["data"])
    assert page.text.count("backbone alone") >= 4


def test_all_that_is_mixed_is_shown():
    made_of = results()
    shipped = made_of.fusion["0"]
    shipped["location"] = [0.2, 0.0, 0.0, 0.0]
    shipped["spread"] = [0.3, 0.0, 0.0, 0.0]
    none = [0.0] * 4
    seasonal = [0.5, 0.4, 0.0, 0.0]
    naive = {"last_value": none, "seasonal": seasonal, "long_run": [0.1, *none[1:]], "season": 24}
    shipped["naive"] = naive
    own = {"location": [0.25] * 4, "last_value": none, "seasonal": [0.5] * 4, "long_run": none}
    shipped["channels"] = {NASTY: {**own, "residual_scale": [1.0] * 4}}
    shipped["report"]["guard"]["whole"][0]["judged_on"] = "validation and training"
    shipped["gate"] = {"min_spread": None, "max_disagreement": 2.5, "max_volatility": None}
    page = Page(render_page(build_report(made_of, MADE)))
    assert "fused in 2 of 4 horizon blocks" in page.text
    assert "By the guard's test on validation and training, the" in page.text
    assert "median: seasonal naive" in page.text
    assert "median: last value" not in page.text
    assert "1 to 24 0.20 0.50 0.10 0.30 1.10" in page.text
    assert "median: long-run level" in page.text
    assert f"{NASTY} 0.25 0.00 0.50 0.00 1.00" in page.text
    assert "max disagreement 2.500" in page.text


def test_horizons_without_intervals_are_named():
    page, text, data = made(intervals=False)
    assert "no interval" in data["verdict"][0]
    assert any("too short for intervals at 24 and 96 steps" in line for line in data["warnings"])
    assert "nan" not in page.text.lower()
    json.dumps(data, allow_nan=False)
    assert "NaN" not in json.dumps(figures(text))
    cells = _table(results(intervals=False), "skill").rows[0][1:]
    assert {cell.tone for cell in cells} == {""}


def test_a_horizon_that_no_window_reaches_is_empty():
    made_of = results()
    missing = {"value": np.nan, "low": np.nan, "high": np.nan}
    far = made_of.leaderboard["horizon"] == 96
    made_of.leaderboard.loc[far, list(missing)] = np.nan
    made_of.skill.loc[made_of.skill["horizon"] == 96, ["skill", "low", "high", "dm_p"]] = np.nan
    made_of.calibration.loc[made_of.calibration["horizon"] == 96, "observed"] = np.nan
    report = build_report(made_of, MADE)
    page = Page(render_page(report))
    assert "nan" not in page.text.lower()
    json.dumps(render_data(report), allow_nan=False)
    table = next(t for t in report.sections[0].tables if t.name == "leaderboard_crps")
    assert {row[2].tone for row in table.rows} == {"", "faint"}


def test_what_should_alarm_does():
    made_of = results(gain=-0.05)
    made_of.leaderboard.loc[
        (made_of.leaderboard["method"] == "last_value")
        & (made_of.leaderboard["metric"] == "mae")
        & (made_of.leaderboard["horizon"] == 96),
        "value",
    ] = 0.01
    covered = (made_of.leaderboard["method"] == "tsmemory") & (
        made_of.leaderboard["metric"] == "coverage_80"
    )
    made_of.leaderboard.loc[covered, "value"] = 0.6
    warnings = [plain(sentence) for sentence in build_report(made_of, MADE).warnings]
    assert warnings[0] == "It was trained on etth1."
    assert warnings[1].startswith("A naive forecast beats the frozen backbone at 96 steps")
    assert warnings[2] == "tsmemory is worse than the frozen backbone at 24 and 96 steps."
    assert warnings[3].startswith("A lower CRPS than tsmemory's: ")
    assert warnings[4] == "The 80 % interval covers 60.0 % at 24 steps and 60.0 % at 96 steps."


def test_every_table_of_the_page_is_in_the_data(usual):
    page, _, data = usual
    named = {name for part in data["sections"].values() for name in part["tables"]}
    assert {name.removeprefix("table-") for name in page.rows} == named
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    lines = data["sections"]["leaderboard"]["tables"]["leaderboard_crps"]["data"]
    assert {line["method"] for line in lines} == set(RUN_METHODS)
    assert all({"value", "low", "high", "dm_p"} <= set(line) for line in lines)
    assert data["sections"]["cost"]["tables"]["sizes"]["data"][1]["value"] == 1_234_567


def test_a_backbone_without_latency():
    made_of = results()
    sizes = made_of.cost.iloc[3:].reset_index(drop=True)
    report = build_report(Results(**{**vars(made_of), "cost": sizes}), MADE)
    names = [t.name for part in report.sections if part.name == "cost" for t in part.tables]
    assert names == ["sizes"]
    assert not any(tile.label.startswith("time of frozen") for tile in report.tiles)
