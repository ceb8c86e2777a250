r"""Gain of a stream: what a chunk is divided by before coding, and multiplied by afterwards.

    samples       ..quiet..........|LOUD................|..quiet..........
    scale         0.1 ------------\|/ 0.4 -------------\|/ 0.1 -----------
    to the codec  samples / scale: always about as loud as what the codec was trained on

A network that learned at one level codes others worse, and a codebook spends its codes on them. So
each chunk carries the scale that its samples were divided by (level.py), and the decoder multiplies
by it. The gain glides to that of a new chunk for a tenth of a second from the chunk's beginning, in
equal steps of dB. A chunk that comes before a glide has ended starts another one from where the
gain is, if its scale is another.
"""

import math
from collections import deque

import numpy as np

from encodec_cli.config.codec import CodecConfig
from encodec_cli.runtime.protocol import Rows
from encodec_cli.stream.level import level_meter

__all__ = ["GainRestorer", "Leveller", "gain_history"]

_RAMP_SECONDS = 0.1
_FORGOTTEN = 1e-12
"""What is left of a difference in gain, in dB per dB, once it counts as none."""


def gain_history(sample_rate: int, chunk_samples: int) -> int:
    """Chunks before its own that the gain of a sample depends on, one where glides end in a chunk.

    Each chunk that is shorter takes the gain a part of the way to its own scale.
    """
    left = 1 - chunk_samples / _ramp_samples(sample_rate)
    return 1 if left <= 0 else math.ceil(math.log(_FORGOTTEN) / math.log(left))


class Leveller:
    """Divides each chunk of a stream by a scale of its own, and knows the scales."""

    def __init__(self, config: CodecConfig, chunk_frames: int) -> None:
        self._meter = level_meter(config, chunk_frames)
        self._ramp = _Ramp(config.sample_rate)
        self._scale = 1.0
        self._scales: deque[float] = deque()

    def level(self, rows: Rows) -> Rows:
        """The next chunk `[n, C]`, at the model's level."""
        self._scale = self._meter.scale(rows)
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
        self._length = _ramp_samples(sample_rate)
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


def _ramp_samples(sample_rate: int) -> int:
    return max(1, round(_RAMP_SECONDS * sample_rate))
