"""Losses of the codec and its discriminator. Signals are `[B, N]`, scaled to unit RMS."""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from encodec_cli.dsp.spectra import mel_filterbank, squared_magnitudes, stft, third_octaves

__all__ = [
    "discriminator_loss",
    "feature_loss",
    "generator_loss",
    "level_loss",
    "spectral_loss",
    "waveform_loss",
]

_LOWEST_BAND_HZ = 200.0

_POWER_FLOOR = 1e-4
"""Power, against that of white noise of unit level, below which the compression stops."""


def waveform_loss(estimate: Tensor, target: Tensor) -> Tensor:
    """Squared error over the energy of the target, mean over the items."""
    error = (estimate - target).pow(2).mean(-1)
    return (error / target.pow(2).mean(-1).clamp(min=1e-4)).clamp(max=10.0).mean()


def spectral_loss(
    estimate: Tensor,
    target: Tensor,
    sample_rate: int,
    windows: tuple[int, ...],
    floor: float,
    complex_weight: float,
) -> Tensor:
    """Log-mel L1 plus `complex_weight` times a compressed complex distance, mean over the scales.

    Log-mel L1 follows EnCodec (Défossez et al. 2022, section 3.4), with `window / 12.8` mels per
    scale, at most 160. The second compares spectra whose magnitudes are raised to 0.3 with their
    phases kept, so that quiet harmonics count as well (Ephrat et al. 2018, section 4.1). Both are
    computed from the same STFTs, which hop by half a window: crops are cut anywhere, so finer
    hops would cost a tenth of a step to repeat themselves.
    """
    total = estimate.new_zeros(())
    for size in windows:
        norm = (0.375 * size) ** 0.5  # that of a Hann window: white noise of unit level gets 1
        both = [stft(x, size, size // 2) / norm for x in (estimate, target)]
        powers = [squared_magnitudes(z) + _POWER_FLOOR for z in both]
        mels = min(160, int(size / 12.8))
        filters = mel_filterbank(size // 2 + 1, mels, sample_rate, estimate.device).t() * norm
        logs = [torch.matmul(filters, p.sqrt()).clamp(min=floor).log10() for p in powers]
        total = total + F.l1_loss(logs[0], logs[1])
        if complex_weight > 0:
            parts = [
                torch.view_as_real(z * p.pow(-0.35)) for z, p in zip(both, powers, strict=True)
            ]
            total = total + complex_weight * F.mse_loss(parts[0], parts[1])
    return total / len(windows)


def level_loss(estimate: Tensor, target: Tensor, sample_rate: int, missing: float = 1.0) -> Tensor:
    """Difference in level, in bels, over patches of the spectrum: two scales, their mean.

    Patches of the estimate that are too quiet count `missing` times as much as those too loud.

    Losses that compare every band at every moment are lowest at the median. The median power of
    noise is less than its mean, so the top of the spectrum comes out too quiet. The level of a
    patch does not depend on the waveform of the noise, so it can be matched. Thirds of octaves over
    0.1 s correct the top; bands of 50 Hz over 0.4 s correct the lines that an up-sampling leaves at
    multiples of its rate.
    """
    wide = third_octaves(1024 // 2 + 1, sample_rate, _LOWEST_BAND_HZ, estimate.device)
    narrow = _bands_of(50.0, 2048 // 2 + 1, sample_rate, estimate.device)
    scales = ((1024, wide, 0.1), (2048, narrow, 0.4))
    losses = []
    for size, bands, seconds in scales:
        levels = [_levels(x, size, bands, seconds * sample_rate) for x in (estimate, target)]
        difference = levels[0] - levels[1]
        losses.append((F.relu(difference) + missing * F.relu(-difference)).mean())
    return torch.stack(losses).mean()


def _levels(x: Tensor, size: int, bands: Tensor, samples: float) -> Tensor:
    """log10 of powers in `bands` `[bands, bins]`; patches of `samples` overlap by half."""
    z = stft(x, size, size // 2) / (0.375 * size) ** 0.5
    powers = torch.matmul(bands, squared_magnitudes(z))
    frames = min(powers.shape[-1], max(2, round(samples / (size // 2))))
    patches = F.avg_pool1d(powers, frames, stride=frames // 2)
    return (patches + _POWER_FLOOR * bands.sum(1)[:, None]).log10()


@lru_cache(maxsize=8)
def _bands_of(width_hz: float, bins: int, sample_rate: int, device: torch.device) -> Tensor:
    """Neighbouring bands of as many whole bins as fit, `[bands, bins]`, of 0 and 1."""
    each = max(1, int(width_hz / (sample_rate / 2 / (bins - 1))))
    index = torch.arange(bins) // each
    return F.one_hot(index).t().float().to(device)


def discriminator_loss(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """Hinge loss of the discriminator over its scales (EnCodec, section 3.4)."""
    terms = [F.relu(1 - r).mean() + F.relu(1 + f).mean() for r, f in zip(real, fake, strict=True)]
    return torch.stack(terms).mean()


def generator_loss(fake: list[Tensor]) -> Tensor:
    """Hinge loss of the codec against the discriminator (EnCodec, equation 3)."""
    return torch.stack([F.relu(1 - f).mean() for f in fake]).mean()


def feature_loss(real: list[list[Tensor]], fake: list[list[Tensor]]) -> Tensor:
    """L1 between the discriminator's features over their mean magnitude (EnCodec, equation 2)."""
    terms = [
        _mean_magnitude(f - r) / _mean_magnitude(r).clamp(min=1e-6)
        for scale_r, scale_f in zip(real, fake, strict=True)
        for r, f in zip(scale_r, scale_f, strict=True)
    ]
    return torch.stack(terms).mean()


def _mean_magnitude(x: Tensor) -> Tensor:
    """Computed in fp32; features may be bf16."""
    return x.abs().mean(dtype=torch.float32)
