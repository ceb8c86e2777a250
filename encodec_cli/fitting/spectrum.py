"""Short-time spectra whose gradients lead back to samples.

Windows are Hann's and half a window apart, the ends of a signal are padded with zeros. White noise
of unit level has a mean power of 1 in each bin.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Spectrum"]

_Floats = NDArray[np.floating[Any]]
_Complex = NDArray[np.complexfloating[Any, Any]]


class Spectrum:
    """Spectra of signals by windows of `size` samples, an even number."""

    def __init__(self, size: int) -> None:
        self.bins = size // 2 + 1
        self._hop = size // 2
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
        self._window = (window / np.sqrt(0.375 * size)).astype(np.float32)

    def of(self, x: _Floats) -> _Complex:
        """Of a signal `[N]`: `[frames, bins]`."""
        hop, frames = self._hop, -(-x.size // self._hop) + 1
        padded = np.zeros((frames + 1) * hop, x.dtype)
        padded[hop : hop + x.size] = x
        halves = padded.reshape(-1, hop)
        both = np.concatenate((halves[:-1], halves[1:]), axis=1)
        both *= self._window
        spectra: _Complex = np.fft.rfft(both)
        return spectra

    def back(self, gradient: _Complex, samples: int) -> _Floats:
        """The gradient by the signal `[N]` from that by its spectra.

        Its real part is the one by real parts, its imaginary part the one by imaginary parts.
        """
        hop = self._hop
        # The inverse transform counts all bins but the first and the last twice.
        scaled = gradient * np.float32(hop)
        scaled[:, [0, -1]] *= 2
        both = np.fft.irfft(scaled, n=2 * hop)
        both *= self._window
        padded = np.zeros((len(both) + 1, hop), both.dtype)
        padded[:-1] += both[:, :hop]
        padded[1:] += both[:, hop:]
        return padded.reshape(-1)[hop : hop + samples]
