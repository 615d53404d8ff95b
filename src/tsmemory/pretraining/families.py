"""Families of synthetic series, the pure forms of which the corpus is mixed.

Every family takes seeded draws, a number of series and a length, and returns ``(n, length)`` in no
particular unit. All rows of a call are drawn at once, so that a family costs a few dozen array
operations however many series are asked for.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from tsmemory.pretraining.draws import (
    Draws,
    ar1_response,
    coloured,
    fast_length,
    frequencies,
    standardise,
)

# Steps in a cycle, cycles in the next longer one, steps in a year; with the share of each rhythm.
# Sampling every 1, 5, 10, 15 and 30 minutes, hour, day, week, month and quarter.
RHYTHMS: tuple[tuple[float, int, float, float], ...] = (
    (60.0, 24, 525_960.0, 0.04),
    (288.0, 7, 105_192.0, 0.06),
    (144.0, 7, 52_596.0, 0.06),
    (96.0, 7, 35_064.0, 0.12),
    (48.0, 7, 17_532.0, 0.15),
    (24.0, 7, 8_766.0, 0.32),
    (7.0, 4, 365.25, 0.09),
    (52.18, 1, 52.18, 0.04),
    (12.0, 1, 12.0, 0.05),
    (4.0, 1, 4.0, 0.02),
)
_FREE_RHYTHM = 0.1  # share of series whose cycle is any length
_CLEAN = 0.3  # share of calendar series with a tenth of the noise
_PHASES = 384  # resolution of a cycle's profile
_CYCLES = 512  # cycles after which their random levels repeat


def calendar(draws: Draws, n: int, length: int) -> Tensor:
    """Human rhythms: daily profiles that differ by weekday, drift, weather and noise.

    A profile over the cycle, another for some of the cycles (weekends), levels and amplitudes that
    differ from cycle to cycle and persist, a yearly wave, a wandering level and autocorrelated
    noise that may grow with the profile.
    """
    cycle, ratio, year = _rhythms(draws, n)
    phase = torch.arange(length, device=draws.device) / cycle + draws.uniform(0, 84, n, 1)
    count = phase.floor()
    part = phase - count
    index = (count % _CYCLES).long()
    kind = _cycle_kinds(draws, n, ratio).gather(1, (count % ratio).long())
    place = (part * _PHASES).long().clamp_(max=_PHASES - 1)
    profile = _profiles(draws, n).gather(1, place + _PHASES * kind)
    clean = torch.where(draws.chance(_CLEAN, n, 1), 0.1, 1.0)
    spread = clean * draws.log_uniform(0.003, 1.0, n, 1)
    amplitude = (spread * _cycle_noise(draws, n)).exp().gather(1, index)
    fixed = draws.normal(n, 24).gather(1, (count % ratio).long())
    season = profile * amplitude + _sometimes(draws, n, 0.5, 0.03, 0.7) * fixed
    weather = _cycle_noise(draws, n)
    weather = torch.lerp(weather.gather(1, index), weather.gather(1, (index + 1) % _CYCLES), part)
    steps = torch.arange(length, device=draws.device)
    yearly = torch.sin(2 * math.pi * (steps / year + draws.uniform(0, 1, n, 1)))
    noise = noises(draws, n, length)
    grows = draws.uniform(0, 1, n, 1) * draws.chance(0.4, n, 1)
    noise = noise * (1 + grows * (profile - 0.5)).clamp_min(0.1)
    return (
        season
        + clean * _sometimes(draws, n, 0.6, 0.02, 1.5) * weather
        + _sometimes(draws, n, 0.4, 0.1, 2.0) * yearly
        + _sometimes(draws, n, 0.6, 0.03, 2.0) * levels(draws, n, length)
        + clean * draws.log_uniform(0.01, 2.0, n, 1) * noise
    )


def quasi_periodic(draws: Draws, n: int, length: int) -> Tensor:
    """Gaussian processes from sums of smooth, rough and quasi-periodic kernels.

    Drawn through their spectral densities (a sum of kernels is a sum of densities), which costs a
    fast Fourier transform where a Cholesky factor would cost the cube of the length. A
    quasi-periodic kernel is a comb of bumps at the harmonics, whose width is one over its length
    scale. Some rows are products of two draws, which is what a product of kernels means in the
    mean.
    """
    size = fast_length(length)
    omega = frequencies(size, draws.device)
    scale = draws.log_uniform(3.0, float(length), n, 1)
    smooth = scale * torch.exp(-0.5 * (scale * omega) ** 2)
    scale = draws.log_uniform(1.0, float(length), n, 1)
    rough = scale / (1 + (scale * omega) ** 2) ** draws.uniform(0.75, 1.75, n, 1)
    density = draws.uniform(0, 1, n, 1) ** 2 * smooth + draws.uniform(0, 1, n, 1) ** 2 * rough
    for probability in (1.0, 0.5):
        density = density + _comb(draws, n, omega, probability, length)
    density = density + draws.log_uniform(1e-4, 0.5, n, 1) * density.mean(dim=1, keepdim=True)
    series = standardise(coloured(draws.normal(n, size), density.sqrt(), length))
    product = series * (1 + 0.7 * series.roll(1, dims=0))
    return torch.where(draws.chance(0.15, n, 1), product, series)


def autoregressive(draws: Draws, n: int, length: int) -> Tensor:
    """Seasonal autoregressive processes, once integrated or not, with changing volatility.

    ``(1 - a B)(1 - b B)(1 - c B^s)(1 - B)^d x = sigma_t e``: a and b are real or a complex pair,
    the seasonal part lets a pattern evolve slowly, d is 0 or 1.
    """
    size = fast_length(length)
    omega = frequencies(size, draws.device)
    radius = 1 - draws.log_uniform(2e-3, 1.0, n, 1)
    angle = 2 * math.pi / draws.log_uniform(3.0, 200.0, n, 1) * draws.chance(0.4, n, 1)
    forward = ar1_polynomial(radius, omega - angle)
    response = (forward * ar1_polynomial(radius, omega + angle)).reciprocal()
    single = ar1_response(radius, size)
    response = torch.where(angle == 0, single, response)
    season = _rhythms(draws, n)[0].round()
    memory = (1 - draws.log_uniform(3e-3, 0.5, n, 1)) * draws.chance(0.6, n, 1)
    seasonal = ar1_polynomial(memory, omega * season)
    volatility = (draws.uniform(0, 1, n, 1) * draws.smooth(n, size, 24)).exp()
    series = coloured(draws.heavy_tailed(n, size) * volatility, response / seasonal, length)
    series = standardise(series)
    integrated = standardise(series.cumsum(dim=1)) + 0.05 * series
    return torch.where(draws.chance(0.15, n, 1), integrated, series)


def wandering(draws: Draws, n: int, length: int) -> Tensor:
    """Prices and meters: levels that wander, with little or no rhythm."""
    waves = draws.log_uniform(0.02, 0.6, n, 1) * draws.chance(0.4, n, 1)
    cycle = _rhythms(draws, n)[0]
    steps = torch.arange(length, device=draws.device)
    wave = torch.sin(2 * math.pi * (steps / cycle + draws.uniform(0, 1, n, 1)))
    noise = draws.log_uniform(0.005, 0.3, n, 1) * draws.heavy_tailed(n, length)
    return levels(draws, n, length) + waves * wave + noise


def counts(draws: Draws, n: int, length: int) -> Tensor:
    """Demand in whole units, often none: Poisson counts, or rare sales of a random size."""
    rate = standardise(calendar(draws, n, length)) * draws.uniform(0.1, 1.2, n, 1)
    mean = draws.log_uniform(0.05, 60.0, n, 1) * rate.clamp(-4, 4).exp()
    poisson = torch.poisson(mean.clamp_max(500.0), generator=draws.generator)
    size = (0.7 * draws.normal(n, length)).exp()
    sold = draws.uniform(0, 1, n, length) < mean / (1 + mean)
    return torch.where(draws.chance(0.7, n, 1), poisson, torch.where(sold, size, 0.0))


def machines(draws: Draws, n: int, length: int) -> Tensor:
    """Duty cycles, sawteeth, pulses and half waves whose clock runs unevenly."""
    cycle = draws.log_uniform(4.0, 300.0, n, 1)
    usual = draws.chance(0.5, n, 1)
    cycle = torch.where(usual, _rhythms(draws, n)[0], cycle)
    jitter = draws.log_uniform(1e-3, 0.3, n, 1) * draws.chance(0.5, n, 1)
    clock = ((1 + jitter * draws.smooth(n, length, 40)) / cycle).cumsum(dim=1)
    part = (clock + draws.uniform(0, 1, n, 1)) % 1
    duty = draws.uniform(0.03, 0.97, n, 1)
    square = (part < duty).float()
    sawtooth = torch.where(part < duty, part / duty, (1 - part) / (1 - duty))
    pulse = torch.exp(-part / (0.3 * duty))
    half_wave = torch.sin(2 * math.pi * part).clamp_min(0)
    shapes = torch.stack([square, sawtooth, pulse, half_wave])
    shape = shapes[draws.integers(0, 4, n), torch.arange(n, device=draws.device)]
    strength = 1 + draws.uniform(0, 0.6, n, 1) * draws.smooth(n, length, 30)
    noise = draws.log_uniform(0.01, 0.7, n, 1) * noises(draws, n, length)
    level = _sometimes(draws, n, 0.5, 0.1, 1.0) * levels(draws, n, length)
    return shape * strength + 0.3 * noise + level


def levels(draws: Draws, n: int, length: int) -> Tensor:
    """Moving levels of unit variance: a slow return, a walk, steps, bends, a straight line."""
    forms = (_returning, _walk, _stairs, _bends, _line)
    pick = draws.choice([0.3, 0.25, 0.1, 0.25, 0.1], n)
    series = torch.empty(n, length, device=draws.device)
    for number, form in enumerate(forms):
        rows = (pick == number).nonzero()[:, 0]
        series[rows] = form(draws, len(rows), length)
    return standardise(series)


def noises(draws: Draws, n: int, length: int) -> Tensor:
    """Autocorrelated, sometimes heavy-tailed noise of unit variance. Shape ``(n, length)``."""
    size = fast_length(length)
    persistence = draws.uniform(0, 0.97, n, 1) * draws.chance(0.7, n, 1)
    noise = coloured(draws.heavy_tailed(n, size), ar1_response(persistence, size), length)
    return standardise(noise)


FAMILIES: dict[str, Callable[[Draws, int, int], Tensor]] = {
    "calendar": calendar,
    "quasi_periodic": quasi_periodic,
    "autoregressive": autoregressive,
    "wandering": wandering,
    "counts": counts,
    "machines": machines,
}


def ar1_polynomial(coefficient: Tensor, omega: Tensor) -> Tensor:
    """``1 - coefficient * exp(-i omega)``, the polynomial of an autoregression of order one."""
    return torch.complex(1 - coefficient * omega.cos(), coefficient * omega.sin())


def _returning(draws: Draws, n: int, length: int) -> Tensor:
    size = fast_length(length)
    persistence = 1 - draws.log_uniform(5e-4, 0.1, n, 1)
    return coloured(draws.heavy_tailed(n, size), ar1_response(persistence, size), length)


def _walk(draws: Draws, n: int, length: int) -> Tensor:
    return draws.heavy_tailed(n, length).cumsum(dim=1)


def _stairs(draws: Draws, n: int, length: int) -> Tensor:
    jumps = draws.uniform(0, 1, n, length) < draws.log_uniform(0.5, 12.0, n, 1) / length
    return (jumps * draws.normal(n, length)).cumsum(dim=1)


def _bends(draws: Draws, n: int, length: int) -> Tensor:
    return draws.smooth(n, length, int(draws.integers(3, 12, 1)))


def _line(draws: Draws, n: int, length: int) -> Tensor:
    steps = torch.linspace(-1, 1, length, device=draws.device)
    return steps * draws.normal(n, 1).sign()


def _rhythms(draws: Draws, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Steps in a cycle, cycles in the next, steps in a year. Shapes ``(n, 1)``."""
    table = torch.tensor(RHYTHMS, device=draws.device)
    chosen = table[draws.choice(table[:, 3].tolist(), n)]
    cycle, ratio, year = chosen[:, 0:1], chosen[:, 1:2], chosen[:, 2:3]
    free = draws.chance(_FREE_RHYTHM, n, 1)
    cycle = torch.where(free, draws.log_uniform(3.0, 400.0, n, 1), cycle)
    return cycle, ratio, torch.where(free, cycle * draws.uniform(5, 400, n, 1), year)


def _profiles(draws: Draws, n: int) -> Tensor:
    """Two profiles of unit variance for each row, one after the other. ``(n, 2 * phases)``."""
    angle = 2 * math.pi * torch.arange(_PHASES, device=draws.device) / _PHASES
    order = torch.arange(1, 8, device=draws.device)
    decay = order ** -draws.uniform(0.5, 3.0, n, 1)
    waves = torch.stack([torch.cos(order[:, None] * angle), torch.sin(order[:, None] * angle)])
    weights = draws.normal(2, n, 2, len(order)) * decay[:, None]
    second = draws.uniform(0, 1, n, 1, 1)
    weights = torch.stack([weights[0], torch.lerp(weights[0], weights[1], second)], dim=1)
    profile = torch.einsum("nskj,kjp->nsp", weights, waves)
    return standardise(_shaped(draws, profile.flatten(1)))


def _shaped(draws: Draws, profile: Tensor) -> Tensor:
    """Peaks sharpened or flattened, nights cut off, some profiles made angular."""
    n = len(profile)
    profile = standardise(profile)
    sharp = torch.exp(draws.uniform(0.3, 1.5, n, 1) * profile)
    cut = profile.clamp_min(0) + draws.uniform(-1.0, 0.8, n, 1)
    flat = torch.tanh(draws.uniform(1.0, 6.0, n, 1) * profile)
    pick = draws.choice([0.55, 0.2, 0.13, 0.12], n)[:, None]
    for number, form in enumerate((sharp, cut, flat), start=1):
        profile = torch.where(pick == number, form, profile)
    return profile


def _cycle_kinds(draws: Draws, n: int, ratio: Tensor) -> Tensor:
    """Which of two profiles each cycle of the next longer one follows. Shape ``(n, 24)``."""
    place = torch.arange(24, device=draws.device)[None]
    weekend = place >= ratio - 2
    other = draws.chance(0.3, n, 24)
    kinds = torch.where(draws.chance(0.8, n, 1), weekend, other)
    return (kinds & draws.chance(0.6, n, 1)).long()


def _cycle_noise(draws: Draws, n: int) -> Tensor:
    """A persistent random number of unit variance for each cycle. Shape ``(n, cycles)``."""
    persistence = draws.uniform(0, 0.98, n, 1)
    size = 2 * _CYCLES
    return standardise(coloured(draws.normal(n, size), ar1_response(persistence, size), _CYCLES))


def _comb(draws: Draws, n: int, omega: Tensor, probability: float, length: int) -> Tensor:
    """Spectral density of a quasi-periodic kernel: bumps at the harmonics. ``(n, frequencies)``."""
    base = 2 * math.pi / _rhythms(draws, n)[0]
    width = 1 / draws.log_uniform(30.0, 4.0 * length, n, 1)
    decay = draws.uniform(0.5, 3.0, n, 1)
    strength = draws.log_uniform(0.1, 10.0, n, 1) * draws.chance(probability, n, 1)
    number = (omega / base).round().clamp(1, 6)
    bump = torch.exp(-0.5 * ((omega - number * base) / width) ** 2) / width
    return strength * bump * number**-decay


def _sometimes(draws: Draws, n: int, probability: float, low: float, high: float) -> Tensor:
    """A random strength, or none. Shape ``(n, 1)``."""
    return draws.log_uniform(low, high, n, 1) * draws.chance(probability, n, 1)
