"""Which samples a part of a recording, given in seconds, consists of, at any rate."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from encodec_cli.audio import resampled_length
from encodec_cli.container import ChunkSource
from encodec_cli.errors import UsageError, parameter

__all__ = ["Part", "between", "beyond_the_end", "part_to_decode", "sample_range"]

Samples = NDArray[np.float32]
Seconds = float | Fraction

# Samples, at the lower of two rates, that a resampler looks back: its delay is under 1000.
_RESAMPLER_REACH = 2000


@dataclass(frozen=True)
class Part:
    """What to write, and what to decode for it, in samples.

    Attributes:
        first: of what to write, at the output's rate.
        end: of what to write; None is the recording's end.
        begin: what to decode from, at the model's rate: before `first`, if a resampler follows.
        origin: `begin` at the output's rate, exactly.
    """

    first: int
    end: int | None
    begin: int
    origin: int

    def seconds(self, reader: ChunkSource, rate: int) -> float | None:
        """Length at `rate` (Hz), as far as it is known."""
        duration = reader.header.duration
        rest = None if duration is None else duration - self.first / rate
        if self.end is None:
            return rest
        length = (self.end - self.first) / rate
        return length if rest is None else min(length, rest)


def sample_range(
    start: Seconds, duration: Seconds | None, sample_rate: int
) -> tuple[int, int | None]:
    """First sample and end (None: the recording's) of what starts at `start` s, `duration` s long.

    Both ends are rounded to the nearest sample, so that parts that follow each other in time do so
    without a gap or an overlap.

    Raises:
        UsageError: `start` below 0 or `duration` not above 0, or not finite, or no sample long.
    """
    if not (math.isfinite(start) and start >= 0):
        raise UsageError(f"{_seconds('start', start)}: give seconds, 0 or more")
    begin = Fraction(start)
    first = math.floor(begin * sample_rate + Fraction(1, 2))
    if duration is None:
        return first, None
    if not (math.isfinite(duration) and duration > 0):
        raise UsageError(f"{_seconds('duration', duration)}: give seconds, more than 0")
    end = math.floor((begin + Fraction(duration)) * sample_rate + Fraction(1, 2))
    if end == first:
        raise UsageError(f"{_seconds('duration', duration)}: holds no sample at {sample_rate} Hz")
    return first, end


def part_to_decode(
    reader: ChunkSource, start: Seconds, duration: Seconds | None, rate: int
) -> Part:
    """The part to write at `rate` (Hz).

    Raises:
        UsageError: it lies beyond the end, where that is known; see also `sample_range`.
    """
    first, end = sample_range(start, duration, rate)
    own = reader.play_rate
    index = reader.index if first else None
    samples = reader.header.num_samples if index is None else index.num_samples
    if samples is not None and first >= resampled_length(samples, own, rate):
        raise beyond_the_end(start, samples, own)
    if rate == own:
        return Part(first, end, first, first)
    # A resampler that starts here hits the same instants as one that starts at 0.
    step = own // math.gcd(own, rate)
    margin = math.ceil(_RESAMPLER_REACH * own / min(own, rate))
    begin = max(0, (first * own // rate - margin) // step * step)
    return Part(first, end, begin, begin * rate // own)


def beyond_the_end(start: Seconds, samples: int | None, rate: int) -> UsageError:
    """What to say of a part without any of the audio's `samples` samples."""
    length = "" if samples is None else f" of {samples / rate:.3f} s"
    return UsageError(f"{_seconds('start', start)}: lies beyond the end of the audio{length}")


def _seconds(name: str, value: Seconds) -> str:
    return parameter(name, f"{float(value):g}")


def between(blocks: Iterator[Samples], part: Part) -> Iterator[Samples]:
    """What of `blocks`, which start at `part.origin`, belongs to the part."""
    position = part.origin
    for block in blocks:
        start = max(0, part.first - position)
        stop = None if part.end is None else part.end - position
        position += block.shape[1]
        if block[:, start:stop].shape[1] > 0:
            yield block[:, start:stop]
        if part.end is not None and position >= part.end:
            return
