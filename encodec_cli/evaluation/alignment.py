"""Undoing the delay that a codec left in its output."""

import numpy as np

from encodec_cli.audio import FloatBlock

__all__ = ["align"]

_PIECE_SECONDS = 60
_MOST_DELAY_SECONDS = 0.2


def align(reference: FloatBlock, estimate: FloatBlock, sample_rate: int) -> FloatBlock:
    """`estimate` `[C, M]` moved to where it correlates best with `reference`, as long: `[C, N]`.

    The delay is a whole number of samples, at most 200 ms either way; the correlation is that of
    the mixes to mono. What is missing at either end becomes silence.
    """
    most = round(_MOST_DELAY_SECONDS * sample_rate)
    length = reference.shape[1]
    delay = _delay(reference.mean(0), _padded(estimate.mean(0), length, most), sample_rate, most)
    start = max(0, delay)
    moved = np.pad(estimate[:, start : max(start, length + delay)], ((0, 0), (max(0, -delay), 0)))
    return np.pad(moved[:, :length], ((0, 0), (0, max(0, length - moved.shape[1]))))


def _padded(mono: FloatBlock, length: int, margin: int) -> FloatBlock:
    """`[M]` with `margin` zeros before it, cut or filled up to `length + 2 * margin`."""
    mono = mono[: length + margin]
    return np.pad(mono, (margin, length + margin - len(mono)))


def _delay(reference: FloatBlock, padded: FloatBlock, sample_rate: int, most: int) -> int:
    """The lag of the highest correlation; 0 where nothing correlates."""
    correlation = np.zeros(2 * most + 1)
    piece = _PIECE_SECONDS * sample_rate  # in pieces, so that long recordings need little memory
    for start in range(0, len(reference), piece):
        a = reference[start : start + piece]
        b = padded[start : start + len(a) + 2 * most]
        size = 1 << (len(a) + len(b)).bit_length()
        spectrum = np.fft.rfft(b, size) * np.fft.rfft(a, size).conj()
        correlation += np.fft.irfft(spectrum, size)[: 2 * most + 1]
    best = int(correlation.argmax())
    return best - most if correlation[best] > 0 else 0
