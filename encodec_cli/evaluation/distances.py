"""Spectral distances between a decoded signal and its source, `[N]` each; 0 is equal.

Signals longer than a minute are measured in pieces of at most a minute, and the mean is taken, so
that memory stays bounded.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from encodec_cli.dsp.spectra import log_mel, mel_magnitudes, stft

__all__ = ["dac_mel_distance", "dac_stft_distance", "mel_distance"]

_PIECE_SECONDS = 60
_FLOOR = 1e-5
_MEL_SCALES = tuple((32 * 2**i, 5 * 2**i) for i in range(7))
_DAC_MEL_SCALES = ((2048, 150), (512, 80))
_DAC_STFT_WINDOWS = (2048, 512)


def mel_distance(reference: Tensor, estimate: Tensor, sample_rate: int) -> float:
    """Sum over 7 scales (windows 32 to 2048, 5 to 320 mels) of the mean log10-mel difference."""

    def distance(pair: Tensor) -> Tensor:
        total = pair.new_zeros(())
        for size, mels in _MEL_SCALES:
            a, b = log_mel(pair, sample_rate, size, mels, floor=_FLOOR)
            total += (a - b).abs().mean()
        return total

    return _mean_over_pieces(distance, reference, estimate, sample_rate)


def dac_mel_distance(reference: Tensor, estimate: Tensor, sample_rate: int) -> float:
    """What `MelSpectrogramLoss` of descript-audio-codec gives by default.

    Mean difference of mel magnitudes, plus that of the log10 of their squares, summed over the
    windows 2048 (150 mels) and 512 (80). Source: Kumar et al. 2023 (arXiv 2306.06546), dac 1.0.0.
    """

    def distance(pair: Tensor) -> Tensor:
        total = pair.new_zeros(())
        for size, mels in _DAC_MEL_SCALES:
            total += _both(mel_magnitudes(_magnitudes(pair, size), sample_rate, mels))
        return total

    return _mean_over_pieces(distance, reference, estimate, sample_rate)


def dac_stft_distance(reference: Tensor, estimate: Tensor, sample_rate: int) -> float:
    """What `MultiScaleSTFTLoss` of descript-audio-codec gives by default.

    As `dac_mel_distance`, with the STFT's own bins for mels.
    """

    def distance(pair: Tensor) -> Tensor:
        total = pair.new_zeros(())
        for size in _DAC_STFT_WINDOWS:
            total += _both(_magnitudes(pair, size))
        return total

    return _mean_over_pieces(distance, reference, estimate, sample_rate)


def _magnitudes(pair: Tensor, size: int) -> Tensor:
    return stft(pair, size, size // 4, reflect=pair.shape[1] > size // 2).abs()


def _both(magnitudes: Tensor) -> Tensor:
    """Differences of two magnitudes `[2, F, T]`: of their squares' log10, and of themselves."""
    a, b = magnitudes
    log_a, log_b = 2 * magnitudes.clamp(min=_FLOOR).log10()
    both: Tensor = (log_a - log_b).abs().mean() + (a - b).abs().mean()
    return both


def _mean_over_pieces(
    distance: Callable[[Tensor], Tensor], reference: Tensor, estimate: Tensor, sample_rate: int
) -> float:
    pair = torch.stack((reference.float(), estimate.float()))
    pieces = pair.tensor_split(
        max(1, math.ceil(len(reference) / (_PIECE_SECONDS * sample_rate))), 1
    )
    return sum(float(distance(piece)) * piece.shape[1] for piece in pieces) / len(reference)
