r"""Level of a stream: what a chunk is multiplied by before coding, and what undoes it.

    samples       ..quiet..........|LOUD................|..quiet..........
    scale         0.1 ------------\|/ 0.4 -------------\|/ 0.1 -----------
    to the codec  samples / scale: always about as loud as what the codec was trained on

A network that learned at one level codes others worse, and a codebook spends its codes on them. So
each chunk of about a second carries the scale that its samples were divided by, and the decoder
multiplies by it. It moves to the scale of a new chunk in the chunk's first tenth of a second, in
equal steps of dB. Silence keeps the scale that there was.
"""

import math
from collections import deque
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from encodec_cli.config.codec import CodecConfig
from encodec_cli.container.codes import CodeChunk
from encodec_cli.stream.protocols import Samples, StreamDecoder, StreamEncoder, check_samples

__all__ = ["SILENCE_DB", "LevellingDecoder", "LevellingEncoder", "level_of", "scale_for"]

SILENCE_DB = -60.0
"""dBFS; what is below is not made louder."""
_PART_SECONDS = 0.05
_GATE_DB = 15.0
_RAMP_SECONDS = 0.1


def level_of(samples: Samples, sample_rate: int) -> float:
    """RMS in dBFS of the louder parts of `[C, n]`, those within 15 dB of the loudest.

    Pauses between words do not count, for the codec has to code the words.
    """
    size = min(max(1, round(_PART_SECONDS * sample_rate)), max(1, samples.shape[1]))
    whole = samples[:, : samples.shape[1] // size * size].astype(np.float64)
    powers = np.square(whole).reshape(len(whole), -1, size).mean(axis=(0, 2))
    loudest = float(powers.max(initial=0.0))
    if loudest == 0.0:
        return -math.inf
    return 10 * math.log10(powers[powers >= loudest * 10 ** (-_GATE_DB / 10)].mean())


def scale_for(samples: Samples, config: CodecConfig, before: float) -> float:
    """What to divide `[C, n]` by to bring it to the model's level; `before`, the last, for silence.

    A model without a level takes everything as it is.
    """
    found = level_of(samples, config.sample_rate)
    if config.level_db is None or found < SILENCE_DB:
        return before
    return float(np.float32(10 ** ((found - config.level_db) / 20)))


class LevellingEncoder:
    """A `StreamEncoder` that divides each chunk by its scale on the way to `encoder`."""

    def __init__(self, config: CodecConfig, encoder: StreamEncoder, chunk_frames: int) -> None:
        self._encoder = encoder
        self._config = config
        self._size = chunk_frames * config.hop_length
        self._samples = np.zeros((config.channels, 0), np.float32)
        self._ramp = _Ramp(config.sample_rate)
        self._scale = 1.0
        self._scales: deque[float] = deque()  # of chunks still to come

    def push(self, samples: Samples) -> list[CodeChunk]:
        check_samples(samples, self._config.channels)
        self._samples = np.concatenate((self._samples, samples), axis=1, dtype=np.float32)
        chunks: list[CodeChunk] = []
        start = 0
        while self._samples.shape[1] - start >= self._size:
            chunks += self._level(self._samples[:, start : start + self._size])
            start += self._size
        self._samples = self._samples[:, start:].copy()
        return chunks

    def finish(self) -> list[CodeChunk]:
        chunks = self._level(self._samples) if self._samples.shape[1] else []
        return chunks + self._scaled(self._encoder.finish())

    def _level(self, samples: Samples) -> list[CodeChunk]:
        self._scale = scale_for(samples, self._config, self._scale)
        self._scales.append(self._scale)
        scales = self._ramp.over(self._scale, samples.shape[1])
        return self._scaled(self._encoder.push(samples / scales))

    def _scaled(self, chunks: list[CodeChunk]) -> list[CodeChunk]:
        """With their scales; one of padding alone has that of the chunk before."""
        return [
            replace(chunk, scale=self._scales.popleft() if self._scales else self._scale)
            for chunk in chunks
        ]


class LevellingDecoder:
    """A `StreamDecoder` that multiplies what `decoder` gives by the scales of its chunks."""

    def __init__(self, config: CodecConfig, decoder: StreamDecoder) -> None:
        self._decoder = decoder
        self._hop = config.hop_length
        self._ramp = _Ramp(config.sample_rate)
        self._scale = 1.0
        self._parts: deque[tuple[int, float]] = deque()  # samples still to come, and their scale

    def push(self, codes: NDArray[np.uint16], scale: float | None = None) -> Samples:
        self._scale = 1.0 if scale is None else scale
        samples = self._decoder.push(codes)
        self._parts.append((codes.shape[1] * self._hop, self._scale))
        return self._levelled(samples)

    def push_lost(self, frames: int) -> Samples:
        self._parts.append((frames * self._hop, self._scale))
        return self._levelled(self._decoder.push_lost(frames))

    def finish(self) -> Samples:
        return self._levelled(self._decoder.finish())

    def _levelled(self, samples: Samples) -> Samples:
        scales = [np.zeros(0, np.float32)]
        left = samples.shape[1]
        while left > 0:
            count, scale = self._parts.popleft()
            if count > left:
                self._parts.appendleft((count - left, scale))
                count = left
            scales.append(self._ramp.over(scale, count))
            left -= count
        return samples * np.concatenate(scales)


class _Ramp:
    """The scale of every sample, from those of the chunks."""

    def __init__(self, sample_rate: int) -> None:
        self._length = max(1, round(_RAMP_SECONDS * sample_rate))
        self._from = self._to = 0.0  # logarithms of scales
        self._passed: int | None = None  # samples since the ramp began; None before the first

    def over(self, scale: float, count: int) -> Samples:
        """The scales `[count]` of the next samples, which belong to a chunk of scale `scale`.

        A chunk may come in parts. The first one of a stream has its scale from the start.
        """
        target = math.log(scale)
        if self._passed is None:
            self._from = self._to = target
            self._passed = self._length
        elif target != self._to:
            self._from, self._to, self._passed = self._now(), target, 0
        left = min(count, self._length - self._passed)
        scales = np.full(count, scale, np.float32)
        if left > 0:
            steps = np.arange(self._passed, self._passed + left) / self._length
            scales[:left] = np.exp(self._from + (self._to - self._from) * steps)
        self._passed = min(self._length, self._passed + count)
        return scales

    def _now(self) -> float:
        assert self._passed is not None
        return self._from + (self._to - self._from) * self._passed / self._length
