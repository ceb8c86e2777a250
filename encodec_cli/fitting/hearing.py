"""Two models of hearing speech as distances of powers from powers, with their gradients.

Both compare an estimate with what was wanted, whose side is computed once. They weigh errors as
ESTOI and PESQ do: how the envelopes of bands move together, and how loud an error is.
"""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from encodec_cli.dsp.bands import bark, bark_bands, hearing_threshold, third_octave_bands

__all__ = ["Intelligibility", "Loudness"]

_Floats = NDArray[np.floating[Any]]

_BANDS = 15
_LOWEST_HZ = 150.0
_SEGMENT_SECONDS = 0.384
_APART_SECONDS = 0.064
"""From one segment to the next; those between are nearly the same."""
_ACTIVE = 1e-4
"""Power of a frame, over that of the loudest, below which nobody speaks (-40 dB)."""
_FAINT = 1e-9

_LISTENING = 10**7.9
"""Power of unit RMS: PESQ listens at 79 dB SPL."""
_TOP_HZ = 8000.0
_DEAD_ZONE = 0.25
_ADDED_SHARE = 0.3
"""Weight of what the codec added beside that of all disturbance."""
_POWER_LAW = 0.23


class Intelligibility:
    """1 - ESTOI of powers `[frames, bins]`, over segments of 0.4 s that are not silent.

    The correlation of the envelopes in thirds of octaves; signals shorter than a segment count as
    one. Source: Jensen and Taal 2016, "An algorithm for predicting the intelligibility of speech
    masked by modulated noise maskers".
    """

    def __init__(self, wanted: _Floats, sample_rate: int) -> None:
        frames, bins = wanted.shape
        self._bands = third_octave_bands(bins, sample_rate, _LOWEST_HZ)[:_BANDS].T
        frame_seconds = (bins - 1) / sample_rate
        self._length = min(frames, round(_SEGMENT_SECONDS / frame_seconds))
        self._apart = max(1, round(_APART_SECONDS / frame_seconds))
        self._wanted = _Normalized(_Normalized(self._segments(self._envelopes(wanted)), 1).y, 2).y
        loud = wanted.sum(axis=1)
        active = (loud > _ACTIVE * loud.max()).astype(np.float32)
        weights = sliding_window_view(active, self._length)[:: self._apart].mean(axis=1)
        self._weights = weights / max(1e-6, float(weights.sum())) / self._length

    def __call__(self, powers: _Floats) -> tuple[float, _Floats]:
        """The distance of powers, and its gradient by them."""
        envelopes = self._envelopes(powers)
        over_time = _Normalized(self._segments(envelopes), 1)
        segments = _Normalized(over_time.y, 2)
        weighted = self._wanted * self._weights[:, None, None]
        score = float(np.vdot(segments.y, weighted))
        by_segments = over_time.back(segments.back(-weighted))
        by_envelopes = np.zeros_like(envelopes)
        for i in range(self._length):
            frames = by_envelopes[i :: self._apart][: len(by_segments)]
            frames += by_segments[:, i]
        return 1 - score, (by_envelopes / (2 * envelopes)) @ self._bands.T

    def _envelopes(self, powers: _Floats) -> _Floats:
        found: _Floats = np.sqrt(powers @ self._bands + _FAINT)
        return found

    def _segments(self, envelopes: _Floats) -> _Floats:
        """`[frames, bands]` as `[segments, length, bands]`."""
        windows = sliding_window_view(envelopes, self._length, axis=0)
        return windows[:: self._apart].swapaxes(1, 2)


class _Normalized:
    """Values brought to zero mean and unit norm along an axis."""

    def __init__(self, x: _Floats, axis: int) -> None:
        self._axis = axis
        centred = x - x.mean(axis=axis, keepdims=True)
        self._norm = np.sqrt(np.square(centred).sum(axis=axis, keepdims=True) + _FAINT)
        self.y = centred / self._norm

    def back(self, gradient: _Floats) -> _Floats:
        along = (gradient * self.y).sum(axis=self._axis, keepdims=True)
        by_centred: _Floats = (gradient - along * self.y) / self._norm
        by_centred -= by_centred.mean(axis=self._axis, keepdims=True)
        return by_centred


class Loudness:
    """Disturbance of loudness per half Bark, of powers `[frames, bins]`.

    Zwicker's law turns powers into loudness. Differences that the louder sound masks do not count.
    What the codec added counts more, because it is heard as a sound of its own; how much more, the
    gradient takes as given. Source: ITU-T P.862, section 10.2.
    """

    def __init__(self, wanted: _Floats, sample_rate: int) -> None:
        bins = wanted.shape[1]
        bands = bark_bands(bins, sample_rate, 0.5, 0.5, bark(_TOP_HZ))
        self._threshold = hearing_threshold(bands, sample_rate)
        # Of all bins together, white noise of unit level has the power that PESQ listens at.
        self._bands = bands.T * np.float32(_LISTENING / (bins - 1))
        self._powers = wanted @ self._bands
        self._loudness, _ = self._heard(self._powers)

    def __call__(self, powers: _Floats) -> tuple[float, _Floats]:
        """The distance of powers, and its gradient by them."""
        in_bands = powers @ self._bands
        loudness, slope = self._heard(in_bands)
        difference = loudness - self._loudness
        masked = _DEAD_ZONE * np.minimum(loudness, self._loudness)
        disturbance = np.maximum(np.abs(difference) - masked, 0)
        ratio = ((in_bands + 50) / (self._powers + 50)) ** np.float32(1.2)
        added = np.where(ratio < 3, np.float32(0), np.minimum(ratio, 12)) * np.float32(
            _ADDED_SHARE / ratio.size
        )
        of_frames = np.sqrt(np.square(disturbance).mean(axis=1, keepdims=True) + 1e-6)
        value = float(of_frames.mean()) + float(np.vdot(disturbance, added))
        by_disturbance = disturbance / (of_frames * ratio.size) + added
        by_difference = np.sign(difference) - _DEAD_ZONE * (difference < 0)
        by_bands = by_disturbance * by_difference * (disturbance > 0) * slope
        return value, by_bands @ self._bands.T

    def _heard(self, powers: _Floats) -> tuple[_Floats, _Floats]:
        """The loudness of powers in bands, and its derivative."""
        least = (self._threshold / 0.5) ** _POWER_LAW
        above = 0.5 + 0.5 * powers / self._threshold
        grown = above**_POWER_LAW
        slope = least * _POWER_LAW * grown / above * (0.5 / self._threshold)
        return np.maximum(least * (grown - 1), 0), np.where(grown > 1, slope, 0)
