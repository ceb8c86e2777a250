"""Bands of hearing as sets of bins of a spectrum: their numbers, for arrays and tensors alike.

Bins are those of a real transform, from 0 Hz to half of the sample rate.
"""

import math
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["bark", "bark_bands", "hearing_threshold", "third_octave_bands"]

_Floats = NDArray[np.float32]
_Hz = TypeVar("_Hz", float, NDArray[np.float64])


def third_octave_bands(bins: int, sample_rate: int, lowest: float) -> _Floats:
    """Thirds of octaves, `[bands, bins]` of 0 and 1, centred at `lowest` Hz and above.

    Up to those that end below half of `sample_rate` (Hz).
    """
    count = math.floor(3 * math.log2(sample_rate / 2 / lowest) - 0.5) + 1
    centres = lowest * 2 ** (np.arange(count) / 3)
    low, high = (centres * 2 ** (side / 6) for side in (-1, 1))
    return _between(_hz(bins, sample_rate), low, high)


def bark(hz: _Hz) -> _Hz:
    """Frequencies on the Bark scale (Traunmüller 1990, "Analytical expressions", eq. 6)."""
    return 26.81 * hz / (1960 + hz) - 0.53


def bark_bands(bins: int, sample_rate: int, width: float, lowest: float, highest: float) -> _Floats:
    """Bands `width` Bark wide, `[bands, bins]` of 0 and 1, from `lowest` to `highest` Bark.

    Those without a bin are left out.
    """
    edges = np.arange(lowest, highest, width)
    bands = _between(bark(_hz(bins, sample_rate)), edges[:-1], edges[1:])
    return bands[bands.any(axis=1)]


def hearing_threshold(bands: _Floats, sample_rate: int) -> _Floats:
    """Power of the faintest audible sound in bands `[bands, bins]`, over that of 0 dB SPL.

    Source: Terhardt 1979, "Calculating virtual pitch", eq. 1.
    """
    centres = bands @ _hz(bands.shape[1], sample_rate) / bands.sum(axis=1)
    khz = np.maximum(centres / 1000, 0.02)
    db = 3.64 * khz**-0.8 - 6.5 * np.exp(-0.6 * (khz - 3.3) ** 2) + 1e-3 * khz**4
    return np.asarray(10 ** (db / 10), np.float32)


def _hz(bins: int, sample_rate: int) -> NDArray[np.float64]:
    return np.linspace(0, sample_rate / 2, bins)


def _between(
    values: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]
) -> _Floats:
    inside = (values >= low[:, None]) & (values < high[:, None])
    return inside.astype(np.float32)
