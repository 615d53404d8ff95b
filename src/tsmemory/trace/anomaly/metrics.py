"""How well scores tell labelled anomalies from the rest.

Every metric but the delay is free of a threshold or takes the best one, so that methods with scores
of any unit compare. Thresholds are all distinct scores; a step is flagged where its score reaches
the threshold.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tsmemory.series.series_set import Float, Int

Bool = NDArray[np.bool_]
Array = NDArray[np.float64]


class Best(NamedTuple):
    """The best F1 over all thresholds, and the threshold that has it."""

    f1: float
    threshold: float


class Delay(NamedTuple):
    """How soon labelled windows are noticed.

    Attributes:
        detected: Share of windows with a flagged step.
        delay: Mean over detected windows of the steps before the first flagged one, as a share of
            the window; NaN if none is detected.
        reward: Mean over windows of NAB's reward: near 1 at the window's start, 0 at its end, and
            -1 for a window that was missed.
    """

    detected: float
    delay: float
    reward: float


class Volume(NamedTuple):
    """Volumes under the surfaces of ROC and precision-recall curves over buffer lengths."""

    roc: float
    pr: float


class _Thresholds(NamedTuple):
    """Scores in falling order, and where each distinct one ends.

    Attributes:
        order: Steps by falling score. Shape ``(T,)``.
        last: Position in ``order`` of the last step that reaches each threshold. Shape ``(K,)``.
        value: The thresholds, falling. Shape ``(K,)``.
    """

    order: Int
    last: Int
    value: Float

    @classmethod
    def of(cls, scores: Float) -> "_Thresholds":
        order = np.argsort(-scores, kind="stable").astype(np.int64)
        ranked = scores[order]
        last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
        return cls(order, last.astype(np.int64), ranked[last])

    @property
    def flagged(self) -> Array:
        """Steps that each threshold flags. Shape ``(K,)``."""
        return (self.last + 1).astype(np.float64)

    def sum(self, weights: NDArray[np.generic]) -> Array:
        """Sum of the weights ``(T,)`` of the steps that each threshold flags. Shape ``(K,)``."""
        return np.cumsum(weights[self.order], dtype=np.float64)[self.last]

    def reached(self, peaks: Float) -> Array:
        """How many of some peak scores reach each threshold. Shape ``(K,)``."""
        return np.searchsorted(np.sort(-peaks), -self.value, side="right").astype(np.float64)


def average_precision(anomalous: Bool, scores: Float) -> float:
    """Area under the precision-recall curve, as the mean precision over the recall gained.

    Args:
        anomalous: Shape ``(T,)``.
        scores: Higher is more anomalous; all known. Shape ``(T,)``.

    Returns:
        Between the share of anomalous steps, for scores without information, and 1.
    """
    cuts = _Thresholds.of(scores)
    hits = cuts.sum(anomalous)
    gained = np.diff(hits, prepend=0.0) / anomalous.sum()
    return float(gained @ (hits / cuts.flagged))


def best_f1(anomalous: Bool, scores: Float) -> Best:
    """Best F1 of single steps. Arguments as for :func:`average_precision`."""
    cuts = _Thresholds.of(scores)
    return _best(cuts, cuts.sum(anomalous), cuts.sum(~anomalous), float(anomalous.sum()))


def best_adjusted_f1(anomalous: Bool, scores: Float) -> Best:
    """Best F1 after point adjustment: one flagged step makes its whole window flagged.

    It rewards even random scores (Kim et al., AAAI 2022), and is here since much has been published
    with it. Arguments as for :func:`average_precision`.
    """
    cuts = _Thresholds.of(scores)
    windows = segments(anomalous)
    peaks = np.array([scores[first:end].max() for first, end in windows])
    largest_first = np.argsort(-peaks, kind="stable")
    lengths = np.array([end - first for first, end in windows], dtype=np.float64)
    covered = np.concatenate([[0.0], np.cumsum(lengths[largest_first])])
    hits = covered[cuts.reached(peaks).astype(np.int64)]
    return _best(cuts, hits, cuts.sum(~anomalous), float(anomalous.sum()))


def volume_under_surface(anomalous: Bool, scores: Float, *, buffer: int) -> Volume:
    """VUS-ROC and VUS-PR (Paparrizos et al., VLDB 2022, section 4).

    Labels are widened by a buffer of length l: a step at the distance d, up to l / 2, from the
    nearest anomaly has the weight ``sqrt(1 - d / l)``. Recall counts weighted hits against the mean
    size of plain and widened labels, times the share of widened anomalies with any hit. The areas
    under both curves are averaged over l = 0, 1, ..., ``buffer``. Unlike the authors' code, which
    samples 250 thresholds, every distinct score is one.

    Args:
        anomalous: Shape ``(T,)``.
        scores: Higher is more anomalous; all known. Shape ``(T,)``.
        buffer: The largest l, in steps: how far from a label a detection may lie and still count.

    Returns:
        Both volumes, each in 0 to 1.
    """
    cuts = _Thresholds.of(scores)
    distance = _distance(anomalous)
    areas = [
        _areas(cuts, scores, float(anomalous.sum()), weights)
        for weights in _widened(distance, buffer)
    ]
    roc, pr = np.mean(areas, axis=0)
    return Volume(float(roc), float(pr))


def detection_delay(anomalous: Bool, scores: Float, threshold: float) -> Delay:
    """How soon each labelled window is noticed at a threshold (Lavin & Ahmad, 2015).

    Args:
        anomalous: Shape ``(T,)``.
        scores: Shape ``(T,)``.
        threshold: Score from which a step is flagged.

    Returns:
        Shares and rewards; false alarms do not enter.
    """
    delays, rewards = [], []
    for first, end in segments(anomalous):
        flagged = scores[first:end] >= threshold
        if not flagged.any():
            rewards.append(-1.0)
            continue
        share = float(flagged.argmax()) / (end - first)
        delays.append(share)
        rewards.append(2 / (1 + np.exp(-5 * (1 - share))) - 1)
    delay = float(np.mean(delays)) if delays else float("nan")
    return Delay(len(delays) / len(rewards), delay, float(np.mean(rewards)))


def segments(anomalous: Bool) -> list[tuple[int, int]]:
    """First step of each run of anomalous steps, and the step after its last."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], anomalous.astype(np.int8), [0]])))
    return [(int(first), int(end)) for first, end in edges.reshape(-1, 2)]


def _best(cuts: _Thresholds, hits: Array, false_alarms: Array, positives: float) -> Best:
    """The best F1 of true and false positives ``(K,)`` at each threshold."""
    f1 = 2 * hits / (hits + false_alarms + positives)
    index = int(np.argmax(f1))
    return Best(float(f1[index]), float(cuts.value[index]))


def _distance(anomalous: Bool) -> Array:
    """Steps from each step to the nearest anomalous one. Shape ``(T,)``."""
    step = np.arange(len(anomalous), dtype=np.float64)
    before = np.maximum.accumulate(np.where(anomalous, step, -np.inf))
    after = np.minimum.accumulate(np.where(anomalous, step, np.inf)[::-1])[::-1]
    return np.minimum(step - before, after - step)


def _widened(distance: Array, buffer: int) -> Iterator[Array]:
    """Weights of the labels widened by each length up to ``buffer``, each of shape ``(T,)``."""
    for length in range(buffer + 1):
        fading = np.sqrt(np.maximum(1 - distance / max(length, 1), 0))
        yield np.where(distance <= length // 2, fading, 0.0)


def _areas(
    cuts: _Thresholds, scores: Float, positives: float, weights: Array
) -> tuple[float, float]:
    """Areas under the range-based ROC and precision-recall curves of weighted labels."""
    hits = cuts.sum(weights)
    expected = (positives + weights.sum()) / 2
    runs = segments(weights > 0)
    peaks = np.array([scores[first:end].max() for first, end in runs])
    recall = np.minimum(hits / expected, 1) * cuts.reached(peaks) / len(runs)
    alarm = (cuts.flagged - hits) / (len(scores) - expected)
    precision = hits / cuts.flagged
    # The curves begin where nothing is flagged; ROC ends where everything is.
    roc = np.trapezoid(np.concatenate([[0], recall, [1]]), np.concatenate([[0], alarm, [1]]))
    pr = np.trapezoid(np.concatenate([[1], precision]), np.concatenate([[0], recall]))
    return float(roc), float(pr)
