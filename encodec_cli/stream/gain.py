r"""Gain of a stream: what a chunk is divided by before coding, and multiplied by afterwards.

    samples       ..quiet..........|LOUD................|..quiet..........
    scale         0.1 ------------\|/ 0.4 -------------\|/ 0.1 -----------
    to the codec  samples / scale: always about as loud as what the codec was trained on

A network that learned at one level codes others worse, and a codebook spends its codes on them. So
each chunk of about a second carries the scale that its samples were divided by, and the decoder
multiplies by it. The gain moves to that of a new chunk in the chunk's first tenth of a second, in
equal steps of dB. Silence keeps the scale that there was. A constant offset (DC) is no sound, so
the level is that of the samples less their mean; they are coded with it all the same.
"""

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from encodec_cli.config.codec import CodecConfig
from encodec_cli.container.gain import nearest_scale
from encodec_cli.runtime.protocol import Rows

__all__ = ["SILENCE_DB", "GainRestorer", "Leveller", "level_of", "scale_for"]

SILENCE_DB = -60.0
"""dBFS; what is below is not made louder."""
_PART_SECONDS = 0.05
_GATE_DB = 15.0
_RAMP_SECONDS = 0.1
_OFFSET_SECONDS = 0.25
"""Of less, the mean is not an offset: it may be part of a low tone."""


def level_of(rows: Rows, sample_rate: int) -> float:
    """RMS in dBFS of the louder parts of samples `[n, C]`, those within 15 dB of the loudest.

    Pauses between words do not count, for the codec has to code the words.
    """
    size = min(max(1, round(_PART_SECONDS * sample_rate)), max(1, len(rows)))
    whole = rows[: len(rows) // size * size].astype(np.float64)
    powers = np.square(whole).reshape(-1, size, whole.shape[1]).mean(axis=(1, 2))
    loudest = float(powers.max(initial=0.0))
    if loudest == 0.0:
        return -math.inf
    return 10 * math.log10(powers[powers >= loudest * 10 ** (-_GATE_DB / 10)].mean())


def scale_for(rows: Rows, config: CodecConfig, before: float) -> float:
    """What to divide `[n, C]` by to bring it to the model's level; `before`, the last, for silence.

    It is the nearest of the half-dB steps that files hold. A model without a level takes
    everything as it is.
    """
    found = level_of(rows, config.sample_rate)
    if config.level_db is None or found < SILENCE_DB:
        return before
    return nearest_scale(10 ** ((found - config.level_db) / 20))


class Leveller:
    """Divides each chunk of a stream by a scale of its own, and knows the scales."""

    def __init__(self, config: CodecConfig) -> None:
        self._config = config
        self._ramp = _Ramp(config.sample_rate)
        self._scale = 1.0
        self._scales: deque[float] = deque()
        self._offset: NDArray[np.float64] | float = 0.0  # of each channel
        self._least = round(_OFFSET_SECONDS * config.sample_rate)

    def level(self, rows: Rows) -> Rows:
        """The next chunk `[n, C]`, at the model's level."""
        if len(rows) >= self._least:
            self._offset = rows.mean(axis=0, dtype=np.float64)
        sound = (rows - self._offset).astype(np.float32)
        self._scale = scale_for(sound, self._config, self._scale)
        self._scales.append(self._scale)
        return rows / self._ramp.over(self._scale, len(rows))

    def next_scale(self) -> float:
        """The scale of the next chunk of codes; one of padding alone has that of the one before."""
        return self._scales.popleft() if self._scales else self._scale


class GainRestorer:
    """Multiplies what a decoder gives, at any delay, by the scales of its chunks."""

    def __init__(self, config: CodecConfig) -> None:
        self._hop = config.hop_length
        self._ramp = _Ramp(config.sample_rate)
        self._scale = 1.0
        self._parts: deque[tuple[int, float]] = deque()  # samples still to come, and their scale

    def expect(self, frames: int, scale: float | None) -> None:
        """The next `frames` frames have this scale; those without have 1."""
        self._scale = 1.0 if scale is None else scale
        self._parts.append((frames * self._hop, self._scale))

    def expect_lost(self, frames: int) -> None:
        """The next `frames` frames are lost; the scale stays as it is."""
        self._parts.append((frames * self._hop, self._scale))

    def restore(self, rows: Rows) -> Rows:
        """The next decoded samples `[n, C]`, as loud as the source was."""
        scales = [np.zeros((0, 1), np.float32)]
        left = len(rows)
        while left > 0:
            count, scale = self._parts.popleft()
            if count > left:
                self._parts.appendleft((count - left, scale))
                count = left
            scales.append(self._ramp.over(scale, count))
            left -= count
        return rows * np.concatenate(scales)


class _Ramp:
    """The scale of every sample, from those of the chunks."""

    def __init__(self, sample_rate: int) -> None:
        self._length = max(1, round(_RAMP_SECONDS * sample_rate))
        self._from = self._to = 0.0  # logarithms of scales
        self._passed: int | None = None  # samples since the ramp began; None before the first

    def over(self, scale: float, count: int) -> Rows:
        """The scales `[count, 1]` of the next samples, which belong to a chunk of scale `scale`.

        A chunk may come in parts. The first one of a stream has its scale from the start.
        """
        target = math.log(scale)
        if self._passed is None:
            self._from = self._to = target
            self._passed = self._length
        elif target != self._to:
            now = self._from + (self._to - self._from) * self._passed / self._length
            self._from, self._to, self._passed = now, target, 0
        left = min(count, self._length - self._passed)
        scales = np.full((count, 1), scale, np.float32)
        if left > 0:
            steps = np.arange(self._passed, self._passed + left) / self._length
            scales[:left, 0] = np.exp(self._from + (self._to - self._from) * steps)
        self._passed = min(self._length, self._passed + count)
        return scales
