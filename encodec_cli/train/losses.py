"""What the codec is trained to reduce. All take `[B, N]` signals scaled to unit RMS."""

import torch
import torch.nn.functional as F
from torch import Tensor

from encodec_cli.spectra import mel_filterbank, stft

__all__ = [
    "discriminator_loss",
    "feature_loss",
    "generator_loss",
    "spectral_losses",
    "waveform_loss",
]


def waveform_loss(estimate: Tensor, target: Tensor) -> Tensor:
    """Squared error over the energy of the target, mean over the items."""
    error = (estimate - target).pow(2).mean(-1)
    return (error / target.pow(2).mean(-1).clamp(min=1e-4)).clamp(max=10.0).mean()


def spectral_losses(
    estimate: Tensor,
    target: Tensor,
    sample_rate: int,
    windows: tuple[int, ...],
    floor: float,
    *,
    with_complex: bool,
) -> tuple[Tensor, Tensor]:
    """Multi-scale spectral distances: (log-mel L1, compressed complex), both mean over scales.

    Log-mel L1 follows EnCodec (Défossez et al. 2022, section 3.4), with `window / 12.8` mels per
    scale, at most 160. The second compares spectra whose magnitudes are raised to 0.3 with their
    phases kept, so that quiet harmonics count as well (Ephrat et al. 2018, section 4.1); it is 0
    unless `with_complex`. Both are computed from the same STFTs, which hop by half a window:
    crops are cut anywhere, so finer hops would cost a tenth of a step to repeat themselves.
    """
    both = torch.cat((estimate, target))
    mel_total = both.new_zeros(())
    complex_total = both.new_zeros(())
    for size in windows:
        spectrum = stft(both, size, size // 2)
        power = spectrum.real.pow(2) + spectrum.imag.pow(2) + 1e-8
        magnitude = power.sqrt()
        mels = min(160, int(size / 12.8))
        filters = mel_filterbank(magnitude.shape[1], mels, sample_rate, both.device)
        logs = torch.matmul(filters.t(), magnitude).clamp(min=floor).log10()
        estimated, wanted = logs.chunk(2)
        mel_total = mel_total + F.l1_loss(estimated, wanted)
        if with_complex:
            compressed = torch.view_as_real(spectrum * power.pow(-0.35))
            estimated, wanted = compressed.chunk(2)
            complex_total = complex_total + F.mse_loss(estimated, wanted)
    return mel_total / len(windows), complex_total / len(windows)


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
        F.l1_loss(f, r) / r.abs().mean().clamp(min=1e-6)
        for scale_r, scale_f in zip(real, fake, strict=True)
        for r, f in zip(scale_r, scale_f, strict=True)
    ]
    return torch.stack(terms).mean()
