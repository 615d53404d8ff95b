"""Seeded random numbers on one device, in the shapes that the corpus needs."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


class Draws:
    """A stream of random numbers that a seed and a device determine.

    Devices differ in their streams: a seed gives one corpus on a CPU and another one on a GPU.
    """

    def __init__(self, seed: int, device: str | torch.device = "cpu") -> None:
        self.device = torch.device(device)
        self.generator = torch.Generator(self.device).manual_seed(seed)

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Uniform between two bounds."""
        unit = torch.rand(shape, generator=self.generator, device=self.device)
        return low + (high - low) * unit

    def log_uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Uniform in the logarithm, between two positive bounds."""
        return self.uniform(math.log(low), math.log(high), *shape).exp()

    def normal(self, *shape: int) -> Tensor:
        """Standard normal."""
        return torch.randn(shape, generator=self.generator, device=self.device)

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        """Whole numbers from ``low`` to ``high - 1``."""
        return torch.randint(low, high, shape, generator=self.generator, device=self.device)

    def chance(self, probability: float, *shape: int) -> Tensor:
        """True with a probability."""
        return torch.rand(shape, generator=self.generator, device=self.device) < probability

    def choice(self, weights: Sequence[float], n: int) -> Tensor:
        """Indices drawn by their weights. Shape ``(n,)``."""
        table = torch.tensor(weights, dtype=torch.float32, device=self.device)
        return torch.multinomial(table, n, replacement=True, generator=self.generator)

    def heavy_tailed(self, n: int, length: int) -> Tensor:
        """White noise, heavy-tailed in a part of the rows (log-normal scale). ``(n, length)``."""
        noise = self.normal(n, length)
        heavy = n // 3  # rows come in no order, so that which of them are heavy does not matter
        tail = self.uniform(0.1, 0.9, heavy, 1)
        noise[:heavy] *= (tail * self.normal(heavy, length)).exp()
        return noise

    def smooth(self, n: int, length: int, knots: int) -> Tensor:
        """Normal values at equal distances, joined by straight lines. Shape ``(n, length)``."""
        values = self.normal(n, 1, knots)
        return functional.interpolate(values, size=length, mode="linear", align_corners=True)[:, 0]


def standardise(series: Tensor) -> Tensor:
    """Each row to mean 0 and standard deviation 1; constant rows become 0. ``(n, length)``."""
    centred = series - series.mean(dim=1, keepdim=True)
    return centred / centred.square().mean(dim=1, keepdim=True).sqrt().clamp_min(1e-6)


def coloured(noise: Tensor, response: Tensor, length: int) -> Tensor:
    """Filter white noise in the frequency domain.

    The noise is taken as periodic; it is at least twice as long as what is kept, so that the two
    ends of a row have no more to do with each other than their distance implies.

    Args:
        noise: White noise. Shape ``(n, N)``.
        response: Frequency response, real or complex. Shape ``(n, N // 2 + 1)``.
        length: Steps to keep, at most ``N / 2``.

    Returns:
        Shape ``(n, length)``.
    """
    if not len(noise):  # some transforms refuse to do nothing
        return noise[:, :length]
    spectrum = torch.fft.rfft(noise) * response
    series: Tensor = torch.fft.irfft(spectrum, n=noise.shape[1])
    return series[:, :length]


def frequencies(length: int, device: torch.device) -> Tensor:
    """Angular frequencies of a real transform, radians a step. Shape ``(1, length // 2 + 1)``."""
    return torch.linspace(0, math.pi, length // 2 + 1, device=device)[None]


def fast_length(length: int) -> int:
    """A length at least twice as long that transforms fast: a power of two, or 1.5 times one."""
    power = 1 << (2 * length - 1).bit_length()
    return power * 3 // 4 if power * 3 // 4 >= 2 * length else power


def ar1_response(persistence: Tensor, length: int) -> Tensor:
    """Frequency response of ``x_t = persistence * x_{t-1} + e_t``. Shape ``(n, length // 2 + 1)``.

    Args:
        persistence: Coefficient of each row, below 1. Shape ``(n, 1)``.
        length: Length of the transform.
    """
    omega = frequencies(length, persistence.device)
    real = 1 - persistence * omega.cos()
    imaginary = persistence * omega.sin()
    response: Tensor = torch.complex(real, imaginary).reciprocal()
    return response
