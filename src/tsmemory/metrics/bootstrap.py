"""Moving-block bootstrap over time-ordered forecast origins (METHOD 1.7 and 1.8).

Neighbouring origins share most of their targets, so their errors are resampled in blocks of
consecutive origins (Künsch 1989). A resample is held as how often it uses each origin: its sums
are then one matrix product, and one set of resamples serves, paired, every method and metric.
"""

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Sums = NDArray[np.float64]
MIN_BLOCKS = 5  # with fewer, a bootstrap of blocks says little (METHOD 1.7)
_NORMAL_FROM = 300  # degrees of freedom from which Student's t is the normal distribution


def per_origin(values: Sums, origin_time: NDArray[np.generic]) -> tuple[NDArray[np.generic], Sums]:
    """Add up the windows that share an origin, over channels and series.

    Args:
        values: Sums per window. Shape ``(N, ...)``.
        origin_time: Origin of each window, comparable between series. Shape ``(N,)``.

    Returns:
        The T distinct origins in time order, and their sums of shape ``(T, ...)``.

    Raises:
        ValueError: If the two differ in length.
    """
    if len(values) != len(origin_time):
        raise ValueError(f"{len(values)} windows but {len(origin_time)} origin times")
    order = np.argsort(origin_time, kind="stable")
    times, first = np.unique(origin_time[order], return_index=True)
    return times, np.add.reduceat(values[order], first, axis=0, dtype=np.float64)


def n_blocks(n: int, block: int) -> int:
    """Count the whole blocks of ``block`` consecutive origins that fit into ``n``.

    Raises:
        ValueError: If ``block`` is below 1.
    """
    if block < 1:
        raise ValueError(f"a block holds at least one origin, got {block}")
    return n // block


def typical_step(origin_time: NDArray[np.integer], stride: int) -> float:
    """Steps between consecutive distinct origins; series out of phase lie closer than a stride.

    Args:
        origin_time: Origin of each window in steps of the shared calendar. Shape ``(N,)``.
        stride: Steps between consecutive origins of one series.
    """
    gaps = np.diff(np.unique(origin_time))
    gaps = gaps[gaps <= stride]
    return float(gaps.mean()) if len(gaps) else float(stride)


def block_length(n: int, ahead: int, min_blocks: int = MIN_BLOCKS) -> int | None:
    """Origins in a bootstrap block for errors ``ahead`` origins long.

    Such errors are correlated up to ``ahead`` origins apart. Blocks span twice that where enough of
    them fit, once where that leaves enough; with fewer blocks resampling understates the spread
    badly (three blocks: a nominal 95 % interval holds in about half of all cases).

    Args:
        n: Number of origins.
        ahead: Origins that one forecast spans.
        min_blocks: Blocks that have to fit.

    Returns:
        The length, or ``None`` where ``min_blocks`` of at least ``ahead`` origins do not fit.
    """
    lengths = (length for length in (2 * ahead, ahead) if n_blocks(n, length) >= min_blocks)
    return next(lengths, None)


def moving_block_weights(n: int, block: int, samples: int, rng: np.random.Generator) -> Sums:
    """Draw moving-block resamples of ``n`` time-ordered origins.

    Each resample joins blocks of consecutive origins, drawn with replacement from all places where
    a block fits; the last one is cut so that ``n`` origins are used.

    Args:
        n: Number of origins T.
        block: Origins in a block; it should cover the horizon.
        samples: Number of resamples.
        rng: Source of randomness.

    Returns:
        How often each resample uses each origin, shape ``(samples, n)``; each line sums to ``n``.
        Where fewer than two blocks fit, resampling says nothing about the spread: shape ``(0, n)``.
    """
    if n_blocks(n, block) < 2:
        return np.zeros((0, n))
    length = np.full(-(-n // block), block)
    length[-1] = n - block * (len(length) - 1)
    start = rng.integers(0, n - block + 1, size=(samples, len(length)))
    # Blocks are marked where they begin and where they end; the running sum counts open blocks.
    line = np.arange(samples)[:, None] * (n + 1)
    size = samples * (n + 1)
    opened = np.bincount((line + start).ravel(), minlength=size)
    opened -= np.bincount((line + start + length).ravel(), minlength=size)
    return opened.reshape(samples, n + 1)[:, :n].cumsum(axis=1, dtype=np.float64)


def ratio_interval(
    numerator: Sums,
    denominator: Sums,
    weights: Sums,
    level: float = 0.95,
    *,
    blocks: float | None = None,
) -> tuple[float, float]:
    """Percentile interval of a ratio of sums.

    Args:
        numerator: Numerator's sums per origin. Shape ``(T,)``.
        denominator: Denominator's sums per origin. Shape ``(T,)``.
        weights: Resamples of :func:`moving_block_weights`. Shape ``(samples, T)``.
        level: Probability that the interval should hold.
        blocks: How many blocks a resample joins; the interval is widened by what k blocks
            understate, as for a mean of k observations: ``sqrt(k / (k - 1))`` for their spread, and
            Student's t over the normal quantile for not knowing it.

    Returns:
        Lower and upper end, NaN where there are no resamples or nothing is countable.
    """
    columns = np.column_stack([numerator, denominator])
    total = columns.sum(axis=0, keepdims=True)
    sums = weights @ columns
    point = float(_ratio(total[:, 0], total[:, 1])[0])
    return _widened(_percentiles(_ratio(sums[:, 0], sums[:, 1]), level), point, blocks, level)


def skill_interval(
    numerator: Sums,
    denominator: Sums,
    reference_numerator: Sums,
    reference_denominator: Sums,
    weights: Sums,
    level: float = 0.95,
    *,
    blocks: float | None = None,
) -> tuple[float, float, float]:
    """Skill ``1 - error / reference error`` and its percentile interval, resampled in pairs.

    Args:
        numerator: Numerator of the method's error per origin. Shape ``(T,)``.
        denominator: Denominator of the method's error per origin. Shape ``(T,)``.
        reference_numerator: Numerator of the reference's error per origin. Shape ``(T,)``.
        reference_denominator: Denominator of the reference's error per origin. Shape ``(T,)``.
        weights: Resamples of :func:`moving_block_weights`. Shape ``(samples, T)``.
        level: Probability that the interval should hold.
        blocks: How many blocks a resample joins; see :func:`ratio_interval`.

    Returns:
        Skill, lower and upper end, NaN where they are not defined.
    """
    columns = np.column_stack([numerator, denominator, reference_numerator, reference_denominator])
    skill = float(_skill(columns.sum(axis=0, keepdims=True))[0])
    ends = _percentiles(_skill(weights @ columns), level)
    return (skill, *_widened(ends, skill, blocks, level))


def one_sided_improvement(
    loss: Sums, reference_loss: Sums, block: int, samples: int, rng: np.random.Generator
) -> float:
    """Test whether a loss is below a reference's, by a moving-block bootstrap.

    The null hypothesis is that the mean loss is not below the reference's. The mean difference is
    set against the spread of its resamples, which is too small by sqrt(1 - 1/k) for k blocks, since
    blocks are centred at their own mean; this is undone. Student's t with k - 1 degrees of freedom
    allows for not knowing the spread, since validation may hold only a handful of blocks: on
    simulated equal forecasts whose errors overlap for a horizon, with blocks of one or two
    horizons, a nominal 5 % test rejects 2 to 6 %, while the share of resamples beyond the observed
    difference rejects 6 to 14 %.

    Args:
        loss: Mean loss at each time-ordered origin. Shape ``(T,)``.
        reference_loss: The reference's. Shape ``(T,)``.
        block: Origins in a block; it should cover the horizon.
        samples: Number of resamples.
        rng: Source of randomness.

    Returns:
        The p-value; 1 where fewer than two blocks fit, which is no evidence of a gain.

    Raises:
        ValueError: If shapes differ or a loss is not finite.
    """
    difference = np.asarray(loss, dtype=np.float64) - reference_loss
    if difference.ndim != 1 or np.shape(loss) != np.shape(reference_loss):
        raise ValueError(f"losses of shape {np.shape(loss)} and {np.shape(reference_loss)} differ")
    if not np.isfinite(difference).all():
        raise ValueError("losses must be finite; leave out origins without an observed target")
    n = len(difference)
    weights = moving_block_weights(n, block, samples, rng)
    if not len(weights):
        return 1.0
    observed, blocks = float(difference.mean()), n / block
    spread = float((weights @ difference / n).std()) * np.sqrt(blocks / (blocks - 1.0))
    if spread == 0.0:
        return 0.0 if observed < 0 else 1.0
    return _student_probability(observed / spread, blocks - 1.0)


def _ratio(numerator: Sums, denominator: Sums) -> Sums:
    """Elementwise ratio, NaN where the denominator is zero."""
    undefined = np.full_like(numerator, np.nan)
    return np.divide(numerator, denominator, out=undefined, where=denominator != 0)


def _skill(sums: Sums) -> Sums:
    """Skill of each line of the four sums of :func:`skill_interval`, shape ``(samples,)``."""
    error = _ratio(sums[:, 0], sums[:, 1])
    return 1.0 - _ratio(error, _ratio(sums[:, 2], sums[:, 3]))


def _widened(
    ends: tuple[float, float], point: float, blocks: float | None, level: float
) -> tuple[float, float]:
    """Move the ends of an interval away from its point estimate."""
    if blocks is None:
        return ends
    normal = NormalDist().inv_cdf((1 + level) / 2)
    student = _student_quantile(normal, blocks - 1.0)
    factor = np.sqrt(blocks / (blocks - 1.0)) * student / normal
    low, high = (float(point + factor * (end - point)) for end in ends)
    return low, high


def _student_quantile(normal: float, freedom: float) -> float:
    """Student's quantile from the normal one (Abramowitz & Stegun, 26.7.5); good from 4 degrees."""
    z, v = normal, freedom
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
    )


def _student_probability(value: float, freedom: float) -> float:
    """Probability of Student's t at or below a value, for at least one degree of freedom.

    With ``t = sqrt(v) tan(angle)`` its density is proportional to ``cos(angle)^(v - 1)``, which is
    smooth and bounded: the trapezoidal rule is good to 1e-6.
    """
    if freedom > _NORMAL_FROM:
        return NormalDist().cdf(value)
    angle = np.linspace(-np.pi / 2, np.arctan(value / np.sqrt(freedom)), 4001)
    density = np.cos(angle).clip(min=0.0) ** (freedom - 1.0)
    area = float(np.sum(density[1:] + density[:-1]) / 2 * (angle[1] - angle[0]))
    gammas = math.gamma((freedom + 1) / 2) / math.gamma(freedom / 2)
    return min(1.0, area * gammas / math.sqrt(math.pi))


def _percentiles(values: Sums, level: float) -> tuple[float, float]:
    """Ends of the central interval of the defined values."""
    if not 0 < level < 1:
        raise ValueError(f"the interval's level must lie between 0 and 1, got {level}")
    defined = values[~np.isnan(values)]
    if not len(defined):
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
