"""Augmentation: what happens to pure series before they look like measured ones.

Every function takes and returns series ``(n, length)``; each changes a share of the rows.
"""

import torch
from torch import Tensor

from tsmemory.pretraining.draws import Draws, ar1_response, standardise


def mix(draws: Draws, series: Tensor, share: float) -> Tensor:
    """Convex mixtures of two or three standardised series (TSMixup; Ansari et al. 2024, 4.1)."""
    n = len(series)
    first, second = draws.integers(0, n, n), draws.integers(0, n, n)
    weights = draws.uniform(0, 1, 3, n, 1)
    weights[2] *= draws.chance(0.4, n, 1)
    weights = weights / weights.sum(dim=0)
    mixed = weights[0] * series + weights[1] * series[first] + weights[2] * series[second]
    return standardise(torch.where(draws.chance(share, n, 1), mixed, series))


def warp_time(draws: Draws, series: Tensor, share: float) -> Tensor:
    """Resample onto a finer grid and bend time smoothly, by interpolation or by holding values."""
    rows = _chosen(draws, len(series), share)
    if not len(rows):
        return series
    length = series.shape[1]
    speed = draws.uniform(0.35, 1.0, len(rows), 1)
    bend = draws.uniform(0, 0.4, len(rows), 1) * draws.chance(0.5, len(rows), 1)
    pace = speed * (1 + bend * draws.smooth(len(rows), length, 8)).clamp(0.2, 1.0)
    place = pace.cumsum(dim=1).clamp_max(length - 1.001)
    before = place.long()
    hold = draws.chance(0.25, len(rows), 1)
    part = torch.where(hold, torch.zeros_like(place), place - before)
    chosen = series[rows]
    warped = torch.lerp(chosen.gather(1, before), chosen.gather(1, before + 1), part)
    return series.index_copy(0, rows, warped)


def bend_values(draws: Draws, series: Tensor, share: float) -> Tensor:
    """Responses that are not linear: exponentials, powers, absolute values, saturation."""
    rows = _chosen(draws, len(series), share)
    if not len(rows):
        return series
    chosen = standardise(series[rows])
    strength = draws.uniform(0.2, 1.2, len(rows), 1)
    forms = (
        torch.exp(strength * chosen.clamp(-5, 4)),
        -torch.exp(strength * chosen.clamp(-5, 4)),
        (chosen + draws.uniform(-1, 1, len(rows), 1)).abs(),
        torch.tanh(2 * strength * chosen),
        chosen.abs().pow(1 + strength) * chosen.sign(),
    )
    bent = torch.stack(forms)[
        draws.integers(0, len(forms), len(rows)), torch.arange(len(rows), device=series.device)
    ]
    return series.index_copy(0, rows, standardise(bent))


def follow_slowly(draws: Draws, series: Tensor, share: float) -> Tensor:
    """What reacts with inertia: an exponential moving average of the series."""
    rows = _chosen(draws, len(series), share)
    if not len(rows):
        return series
    chosen = series[rows]
    persistence = 1 - draws.log_uniform(0.01, 0.7, len(rows), 1)
    mirrored = torch.cat([chosen.flip(1), chosen], dim=1)
    length = mirrored.shape[1] + mirrored.shape[1] % 2
    response = ar1_response(persistence, length)
    slow = torch.fft.irfft(torch.fft.rfft(mirrored, n=length) * response, n=length)
    return series.index_copy(0, rows, standardise(slow[:, chosen.shape[1] : mirrored.shape[1]]))


def censor(draws: Draws, series: Tensor, share: float) -> Tensor:
    """Cut off below or above: capacities, empty stocks, sensors at their limits."""
    n = len(series)
    low = torch.where(draws.chance(share, n, 1), draws.uniform(-2.0, -0.1, n, 1), -torch.inf)
    high = torch.where(draws.chance(share / 2, n, 1), draws.uniform(0.1, 2.0, n, 1), torch.inf)
    return torch.minimum(torch.maximum(series, low), high)


def disturb(draws: Draws, series: Tensor, share: float) -> Tensor:
    """Spikes, outages read as zero or as the last value, and values rounded to a coarse grid."""
    n, length = series.shape
    hit = draws.uniform(0, 1, n, length) < draws.log_uniform(0.3, 8.0, n, 1) / length
    spikes = hit & draws.chance(share, n, 1)
    series = series + spikes * draws.normal(n, length) * draws.log_uniform(1.0, 8.0, n, 1)
    out = _blocks(draws, n, length, 0.08) & draws.chance(share / 3, n, 1)
    series = torch.where(out, series.amin(dim=1, keepdim=True), series)
    grid = draws.log_uniform(0.02, 0.6, n, 1)
    rounded = (series / grid).round() * grid
    return torch.where(draws.chance(share, n, 1), rounded, series)


def lose(draws: Draws, series: Tensor, share: float) -> Tensor:
    """Missing values as NaN: single steps, and blocks of steps."""
    n, length = series.shape
    single = draws.uniform(0, 1, n, length) < draws.log_uniform(1e-3, 0.6, n, 1)
    gone = (single & draws.chance(share, n, 1)) | (
        _blocks(draws, n, length, 0.5) & draws.chance(share, n, 1)
    )
    return torch.where(gone, torch.nan, series)


def _blocks(draws: Draws, n: int, length: int, longest: float) -> Tensor:
    """One stretch of each row, at most a share of it long. Shape ``(n, length)``, bool."""
    steps = torch.arange(length, device=draws.device)
    extent = draws.log_uniform(2.0, max(3.0, longest * length), n, 1)
    start = draws.uniform(0, 1, n, 1) * (length - extent)
    return (steps >= start) & (steps < start + extent)


def _chosen(draws: Draws, n: int, share: float) -> Tensor:
    """Rows that an augmentation is applied to."""
    return draws.chance(share, n).nonzero()[:, 0]
