"""Losses after two models of hearing speech. Both take `[B, N]` signals scaled to unit RMS.

Spectral losses count every band and moment alike. These two weigh errors as ESTOI and PESQ do:
how the envelopes of bands move together, and how loud an error is where it falls.
"""

from functools import lru_cache

import torch
from torch import Tensor

from encodec_cli.dsp.bands import bark, bark_bands, hearing_threshold
from encodec_cli.dsp.spectra import squared_magnitudes, stft, third_octaves

__all__ = ["intelligibility_loss", "loudness_loss"]

_BANDS = 15
_LOWEST_HZ = 150.0
_SEGMENT = 30
"""Frames, 375 ms."""
_ACTIVE = 1e-4
"""Power of a frame, over that of the loudest in its crop, below which nobody speaks (-40 dB)."""

_LEVEL = 10**7.9
"""Power of unit RMS: PESQ listens at 79 dB SPL."""
_TOP_HZ = 8000.0
_DEAD_ZONE = 0.25
_ADDED_SHARE = 0.3
"""Weight of what the codec added beside that of all disturbance."""


def intelligibility_loss(estimate: Tensor, target: Tensor, sample_rate: int) -> Tensor:
    """1 - ESTOI (Jensen and Taal 2016), without resampling, over segments that are not silent.

    Crops shorter than a segment (0.4 s) count as one.
    """
    size = round(0.025 * sample_rate)
    filters = third_octaves(size // 2 + 1, sample_rate, _LOWEST_HZ, target.device)[:_BANDS]
    powers = [_powers(x, size) for x in (estimate, target)]
    envelopes = [torch.matmul(filters, p).clamp(min=1e-6).sqrt() for p in powers]
    frames = envelopes[0].shape[-1]
    length = min(_SEGMENT, frames)
    # Neighbouring segments are nearly the same: every fifth is enough for a gradient.
    segments = [_normalized(e.unfold(-1, length, 5).transpose(1, 2)) for e in envelopes]
    scores = (segments[0] * segments[1]).sum((-1, -2)) / length
    loudness = powers[1].sum(1)
    active = (loudness > _ACTIVE * loudness.amax(1, keepdim=True)).float()
    weights = active.unfold(-1, length, 5).mean(-1)
    return 1 - (scores * weights).sum() / weights.sum().clamp(min=1e-6)


def loudness_loss(estimate: Tensor, target: Tensor, sample_rate: int) -> Tensor:
    """Disturbance of loudness per Bark band, after PESQ (ITU-T P.862, section 10.2).

    Zwicker's law turns powers into loudness. Differences that the louder sound masks do not count.
    What the codec added counts twice, because it is heard as a sound of its own.
    """
    size = round(0.032 * sample_rate)
    filters, threshold = _bark(size // 2 + 1, sample_rate, target.device)
    scale = _LEVEL / (0.375 * size * size / 2)
    powers = [torch.matmul(filters, _powers(x, size)) * scale for x in (estimate, target)]
    loud = [
        (threshold / 0.5) ** 0.23 * ((0.5 + 0.5 * p / threshold) ** 0.23 - 1).clamp(min=0)
        for p in powers
    ]
    difference = loud[0] - loud[1]
    masked = _DEAD_ZONE * torch.minimum(loud[0], loud[1])
    disturbance = (difference.abs() - masked).clamp(min=0)
    ratio = ((powers[0].detach() + 50) / (powers[1] + 50)) ** 1.2
    added = disturbance * torch.where(ratio < 3, 0.0, ratio.clamp(max=12.0))
    symmetric = (disturbance.square().mean(1) + 1e-6).sqrt().mean()
    return symmetric + _ADDED_SHARE * added.mean()


def _powers(x: Tensor, size: int) -> Tensor:
    """Power spectra `[B, size // 2 + 1, frames]` of `[B, N]`, half a window apart."""
    return squared_magnitudes(stft(x, size, size // 2))


def _normalized(segments: Tensor) -> Tensor:
    """Rows (bands over time), then columns (bands at a time), to zero mean and unit norm."""
    for axis in (-1, -2):
        segments = segments - segments.mean(axis, keepdim=True)
        norm = (segments.square().sum(axis, keepdim=True) + 1e-8).sqrt()
        segments = segments / norm
    return segments


@lru_cache(maxsize=8)
def _bark(bins: int, sample_rate: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Filters `[bands, bins]`, half a Bark wide, and the threshold of hearing, `[bands, 1]`."""
    bands = bark_bands(bins, sample_rate, 0.5, 0.5, bark(_TOP_HZ))
    threshold = hearing_threshold(bands, sample_rate)
    return torch.from_numpy(bands).to(device), torch.from_numpy(threshold)[:, None].to(device)
