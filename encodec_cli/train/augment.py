"""Crops made more varied, a whole batch at a time and on its device.

Rooms and narrow channels are one filter in the frequency domain; noise is added after them.
"""

import math

import torch
from torch import Tensor

from encodec_cli.train.config import AugmentConfig

__all__ = ["augment", "resample_to"]


def resample_to(x: Tensor, length: int) -> Tensor:
    """Stretch `[B, N]` to `[B, length]`: faster or slower, with the pitch that goes along."""
    if x.shape[1] == length:
        return x
    spectrum = torch.fft.rfft(x)
    bins = length // 2 + 1
    spectrum = torch.nn.functional.pad(spectrum, (0, max(0, bins - spectrum.shape[1])))
    stretched: Tensor = torch.fft.irfft(spectrum[:, :bins], length) * (length / x.shape[1])
    return stretched


def augment(x: Tensor, sample_rate: int, config: AugmentConfig) -> Tensor:
    """Band limits, reverberation and noise for some of `[B, N]`, each of unit level."""
    limited, roomy, noisy = (
        torch.rand(len(x), device=x.device) < p
        for p in (config.band_limit, config.reverb, config.noise)
    )
    size = 2 * x.shape[1]
    if config.band_limit or config.reverb:
        spectrum = torch.fft.rfft(x, size)
        bins = spectrum.shape[1]
        low_pass = _low_pass(len(x), bins, sample_rate, x.device)
        spectrum = torch.where(limited[:, None], spectrum * low_pass, spectrum)
        room = torch.fft.rfft(_rooms(len(x), x.shape[1], sample_rate, x.device), size)
        spectrum = torch.where(roomy[:, None], spectrum * room, spectrum)
        x = torch.fft.irfft(spectrum, size)[:, : x.shape[1]]
    if config.noise:
        x = x + noisy[:, None] * _noise(x)
    return x


def _uniform(count: int, low: float, high: float, device: torch.device) -> Tensor:
    """`[count, 1]`, evenly on a logarithmic scale."""
    values: Tensor = low * (high / low) ** torch.rand(count, 1, device=device)
    return values


def _low_pass(count: int, bins: int, sample_rate: int, device: torch.device) -> Tensor:
    """Gains `[count, bins]` that fall by half an octave from 3 kHz or above on."""
    frequency = torch.linspace(0, sample_rate / 2, bins, device=device).clamp(min=1.0)
    cutoff = _uniform(count, 3000.0, sample_rate / 2, device)
    octaves = torch.log2(frequency / cutoff)
    return 0.5 + 0.5 * torch.cos(math.pi * (2 * octaves).clamp(0, 1))


def _rooms(count: int, length: int, sample_rate: int, device: torch.device) -> Tensor:
    """Impulse responses `[count, length]`: the direct sound, then decaying noise.

    The tail falls by 60 dB in 0.1 to 1 s and has -20 to -2 dB of the direct sound's energy.
    """
    seconds = torch.arange(length, device=device) / sample_rate
    decay = torch.exp(-math.log(1000) * seconds / _uniform(count, 0.1, 1.0, device))
    tail = torch.randn(count, length, device=device) * decay
    tail[:, : round(0.002 * sample_rate)] = 0
    tail = tail / tail.square().sum(1, keepdim=True).sqrt()
    response = tail * _uniform(count, 0.1, 0.8, device)
    response[:, 0] += 1
    return response


def _noise(x: Tensor) -> Tensor:
    """Coloured noise, white to brown, 10 to 45 dB below unit level."""
    spectrum = torch.fft.rfft(torch.randn_like(x))
    bins = torch.arange(1, spectrum.shape[1] + 1, device=x.device)
    slope = torch.rand(len(x), 1, device=x.device)
    noise: Tensor = torch.fft.irfft(spectrum * bins**-slope, x.shape[1])
    noise = noise / noise.square().mean(1, keepdim=True).sqrt()
    return noise * _uniform(len(x), 10 ** (-45 / 20), 10 ** (-10 / 20), x.device)
