import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsmemory.trace.anomaly.metrics import (
    average_precision,
    best_adjusted_f1,
    best_f1,
    detection_delay,
    segments,
    volume_under_surface,
)


@st.composite
def judged(draw):
    """Labels with both kinds of steps, and scores with ties."""
    length = draw(st.integers(4, 30))
    anomalous = np.array(draw(st.lists(st.booleans(), min_size=length, max_size=length)))
    anomalous[draw(st.integers(0, length - 1))] = True
    if anomalous.all():
        anomalous[0] = False
    scores = draw(st.lists(st.integers(0, 6), min_size=length, max_size=length))
    return anomalous, np.array(scores, dtype=np.float32)


def _runs(anomalous):
    """Runs of anomalous steps, walked step by step."""
    runs, run = [], []
    for step, inside in enumerate([*anomalous, False]):
        if inside:
            run.append(step)
        elif run:
            runs.append(run)
            run = []
    return runs


def _f1(flagged, anomalous):
    hits = np.sum(flagged & anomalous)
    return 2 * hits / (2 * hits + np.sum(flagged & ~anomalous) + np.sum(~flagged & anomalous))


@given(judged())
def test_segments_are_the_runs(case):
    runs = [list(range(first, end)) for first, end in segments(case[0])]
    assert runs == _runs(case[0])


@given(judged())
def test_average_precision_is_a_sum_over_thresholds(case):
    anomalous, scores = case
    total, recall = 0.0, 0.0
    for threshold in sorted(set(scores.tolist()), reverse=True):
        flagged = scores >= threshold
        reached = np.sum(flagged & anomalous) / anomalous.sum()
        total += (reached - recall) * np.mean(anomalous[flagged])
        recall = reached
    assert average_precision(anomalous, scores) == pytest.approx(total)


@given(judged())
def test_best_f1_tries_every_threshold(case):
    anomalous, scores = case
    found = best_f1(anomalous, scores)
    assert found.f1 == pytest.approx(max(_f1(scores >= t, anomalous) for t in scores))
    assert _f1(scores >= found.threshold, anomalous) == pytest.approx(found.f1)


@given(judged())
def test_point_adjustment_flags_whole_windows(case):
    anomalous, scores = case

    def adjusted(threshold):
        flagged = scores >= threshold
        for run in _runs(anomalous):
            flagged[run] = flagged[run].any()
        return _f1(flagged, anomalous)

    found = best_adjusted_f1(anomalous, scores)
    assert found.f1 == pytest.approx(max(adjusted(t) for t in scores))
    assert adjusted(found.threshold) == pytest.approx(found.f1)
    assert found.f1 >= best_f1(anomalous, scores).f1 - 1e-12


def _volume(anomalous, scores, buffer):
    """Both volumes by the definition, threshold by threshold and step by step."""
    n, rocs, prs = len(anomalous), [], []
    inside = np.flatnonzero(anomalous)
    for length in range(buffer + 1):
        weight = np.zeros(n)
        for step in range(n):
            distance = np.abs(inside - step).min()
            if distance <= length // 2:
                weight[step] = np.sqrt(1 - distance / length) if distance else 1.0
        expected = (anomalous.sum() + weight.sum()) / 2
        curve = [(0.0, 0.0, 1.0)]
        for threshold in sorted(set(scores.tolist()), reverse=True):
            flagged = scores >= threshold
            hits = weight[flagged].sum()
            found = np.mean([flagged[run].any() for run in _runs(weight > 0)])
            recall = min(hits / expected, 1) * found
            curve.append(((flagged.sum() - hits) / (n - expected), recall, hits / flagged.sum()))
        alarm, recall, precision = np.array(curve).T
        rocs.append(np.trapezoid(np.append(recall, 1), np.append(alarm, 1)))
        prs.append(np.trapezoid(precision, recall))
    return np.mean(rocs), np.mean(prs)


@given(judged(), st.integers(0, 9))
def test_volumes_follow_the_definition(case, buffer):
    volume = volume_under_surface(*case, buffer=buffer)
    assert volume == pytest.approx(_volume(*case, buffer))
    assert 0 <= volume.pr <= 1 + 1e-9
    assert 0 <= volume.roc <= 1 + 1e-9


def test_without_a_buffer_and_with_one_anomaly_the_volume_is_the_area():
    rng = np.random.default_rng(0)
    anomalous = np.zeros(200, dtype=bool)
    anomalous[80] = True
    scores = rng.random(200).astype(np.float32)
    below = np.mean(scores[~anomalous] < scores[80])  # ROC's area is the chance to rank rightly
    assert volume_under_surface(anomalous, scores, buffer=0).roc == pytest.approx(below)


def test_a_detection_beside_the_label_counts_within_the_buffer():
    anomalous = np.arange(60) // 10 == 3
    near, far = (np.zeros(60, dtype=np.float32) for _ in range(2))
    near[26:30], far[5:9] = 1, 1
    assert best_f1(anomalous, near) == best_f1(anomalous, far)
    volumes = [volume_under_surface(anomalous, each, buffer=12) for each in (near, far)]
    assert volumes[0].pr > volumes[1].pr + 0.05
    assert volumes[0].roc > volumes[1].roc + 0.05


@given(judged())
def test_metrics_read_the_order_of_scores_alone(case):
    anomalous, scores = case
    stretched = np.exp(scores) * 3 + 1
    for metric in (average_precision, lambda a, s: best_f1(a, s).f1):
        assert metric(anomalous, stretched) == pytest.approx(metric(anomalous, scores))
    volumes = [volume_under_surface(anomalous, each, buffer=4) for each in (scores, stretched)]
    assert volumes[0] == pytest.approx(volumes[1])


def test_scores_without_information_give_the_share_of_anomalies():
    anomalous = np.arange(40) % 4 == 0
    assert average_precision(anomalous, np.zeros(40, dtype=np.float32)) == pytest.approx(0.25)
    assert average_precision(anomalous, anomalous.astype(np.float32)) == 1.0


def test_delay_counts_from_the_start_of_each_window():
    anomalous = np.zeros(40, dtype=bool)
    anomalous[0:10] = anomalous[20:30] = True
    scores = np.zeros(40, dtype=np.float32)
    scores[5] = 1.0
    scores[15] = 1.0  # a false alarm
    delay = detection_delay(anomalous, scores, 1.0)
    assert delay.detected == 0.5
    assert delay.delay == 0.5
    # NAB's scaled sigmoid half-way through the window, and -1 for the window that was missed.
    assert delay.reward == pytest.approx(((2 / (1 + np.exp(-2.5)) - 1) - 1) / 2)
    assert np.isnan(detection_delay(anomalous, scores, 2.0).delay)
    assert detection_delay(anomalous, scores, 0.0).reward == pytest.approx(2 / (1 + np.exp(-5)) - 1)
