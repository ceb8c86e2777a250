"""Spectra that losses and metrics share: magnitude STFT and log-mel, batched, any device."""

import math
from functools import lru_cache

import torch
from torch import Tensor

from encodec_cli.dsp.bands import third_octave_bands
from encodec_cli.dsp.torchaudio_import import import_torchaudio

__all__ = [
    "log_mel",
    "mel_filterbank",
    "mel_magnitudes",
    "picture_levels",
    "squared_magnitudes",
    "stft",
    "third_octaves",
]


@lru_cache(maxsize=64)
def _window(size: int, device: torch.device) -> Tensor:
    return torch.hann_window(size, device=device)


@lru_cache(maxsize=64)
def mel_filterbank(bins: int, mels: int, sample_rate: int, device: torch.device) -> Tensor:
    """Triangular mel filters, `[bins, mels]`, from 0 Hz to half of `sample_rate`.

    With more filters than the resolution can tell apart some are empty, as in librosa.
    """
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        filters: Tensor = import_torchaudio().functional.melscale_fbanks(
            bins, 0.0, sample_rate / 2, mels, sample_rate, norm="slaney", mel_scale="slaney"
        )
    return filters.to(device)


@lru_cache(maxsize=8)
def third_octaves(bins: int, sample_rate: int, lowest: float, device: torch.device) -> Tensor:
    """Bins 0 or 1 of thirds of octaves, `[bands, bins]`, centred at `lowest` Hz and above.

    Up to those that end below half of `sample_rate`.
    """
    return torch.from_numpy(third_octave_bands(bins, sample_rate, lowest)).to(device)


def stft(x: Tensor, size: int, hop: int, *, reflect: bool = False) -> Tensor:
    """Complex STFT of `[B, N]`: `[B, size // 2 + 1, frames]`, Hann window of `size`, centred.

    The ends are padded with zeros or, with `reflect`, mirrored (N must exceed `size // 2`).
    """
    return torch.stft(
        x,
        size,
        hop,
        window=_window(size, x.device),
        return_complex=True,
        pad_mode="reflect" if reflect else "constant",
    )


def squared_magnitudes(z: Tensor) -> Tensor:
    """Powers of an STFT, without a root on the way, whose gradient has no value at zero."""
    return z.real.square() + z.imag.square()


def mel_magnitudes(magnitudes: Tensor, sample_rate: int, mels: int) -> Tensor:
    """Magnitudes `[B, bins, frames]` of an STFT through `mels` filters: `[B, mels, frames]`."""
    filters = mel_filterbank(magnitudes.shape[1], mels, sample_rate, magnitudes.device)
    return torch.einsum("bft,fm->bmt", magnitudes, filters)


def log_mel(
    x: Tensor, sample_rate: int, size: int, mels: int, floor: float, hop: int | None = None
) -> Tensor:
    """log10 of mel magnitudes, not below `floor`. `[B, N] -> [B, mels, frames]`."""
    magnitudes = stft(x, size, hop or size // 4).abs()
    return mel_magnitudes(magnitudes, sample_rate, mels).clamp(min=floor).log10()


def picture_levels(x: Tensor, sample_rate: int, *, mels: int, columns: int) -> Tensor:
    """A signal `[N]` as a picture: levels in dB `[mels, columns]`, low mels first.

    Memory does not grow with the length: where there is more sound than columns can show, spectra
    are taken further apart.
    """
    size = 2 ** max(5, round(math.log2(0.04 * sample_rate)))  # 1024 at 24 kHz
    hop = max(size // 4, math.ceil(len(x) / (4 * columns)))
    magnitudes = mel_magnitudes(stft(x.float()[None], size, hop).abs(), sample_rate, mels)
    pooled = torch.nn.functional.adaptive_avg_pool1d(magnitudes, columns)[0]
    return 20 * pooled.clamp(min=1e-6).log10()
