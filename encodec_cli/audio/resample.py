"""Sample rate conversion of a stream, over soxr.

The quality is soxr's VHQ. Measured with sines and float32 samples (soxr 1.1): aliases and images
below -156 dB (HQ: below -138 dB), passband flat within 0.01 dB up to 0.92 of the lower Nyquist
frequency and -3 dB at 0.95 (HQ: the same); one minute of mono 44.1 -> 24 kHz takes 22 ms instead
of HQ's 18 ms, and the latency is about 40 ms in both. At that price there is no reason for less.
"""

from typing import TYPE_CHECKING

import numpy as np

from encodec_cli.audio.samples import FloatBlock

if TYPE_CHECKING:
    import soxr

__all__ = ["Resampler", "resampled_length"]


def resampled_length(frames: int, from_rate: int, to_rate: int) -> int:
    """Frames at `to_rate` (Hz) that stand for `frames` at `from_rate`: ceil(frames * to / from).

    Exact in integers at any length.
    """
    return -(-frames * to_rate // from_rate)


class Resampler:
    """Streaming conversion: `push` any number of blocks, then `finish` once.

    In all, n input frames give exactly `resampled_length(n, from_rate, to_rate)` output frames,
    aligned with the input (no delay to remove), bit for bit the same however the input is cut.
    Equal rates pass the blocks through. Memory does not grow with the length, whatever the ratio.

    Args:
        from_rate: Hz of what is pushed.
        to_rate: Hz of what comes out.
        channels: C.

    Raises:
        ValueError: a rate or the channel count is below 1.
    """

    def __init__(self, from_rate: int, to_rate: int, channels: int) -> None:
        if min(from_rate, to_rate, channels) < 1:
            raise ValueError(f"{from_rate = }, {to_rate = }, {channels = }: expected at least 1")
        self._from_rate = from_rate
        self._to_rate = to_rate
        self._channels = channels
        self._pushed = 0
        self._emitted = 0
        self._finished = False
        same = from_rate == to_rate
        self._stream = None if same else _new_stream(from_rate, to_rate, channels)

    def push(self, block: FloatBlock) -> FloatBlock:
        """Take `block` [C, n]; return what is ready [C, m], possibly nothing (m = 0).

        Raises:
            ValueError: another number of channels, or `finish` was called before.
        """
        if self._finished:
            raise ValueError("push after finish; make a new Resampler for each stream")
        if block.ndim != 2 or block.shape[0] != self._channels:
            raise ValueError(f"{block.shape = }: expected [{self._channels}, n]")
        self._pushed += block.shape[1]
        if self._stream is None:
            return block
        return self._convert(self._stream, block, last=False)

    def finish(self) -> FloatBlock:
        """The rest [C, m] of the stream, as if silence followed.

        Raises:
            ValueError: called twice.
        """
        if self._finished:
            raise ValueError("finish was called already; make a new Resampler for each stream")
        self._finished = True
        length = resampled_length(self._pushed, self._from_rate, self._to_rate)
        if self._stream is None or length == 0:
            return np.zeros((self._channels, 0), np.float32)
        # soxr rounds the length to nearest. Two output frames' worth of silence make it give the
        # one it may owe; what is too much is cut.
        silence = np.zeros((self._channels, 2 * self._from_rate // self._to_rate + 2), np.float32)
        missing = length - self._emitted
        tail = [(silence, False), (silence[:, :0], True)]
        rest = [self._convert(self._stream, block, last=last) for block, last in tail]
        return np.concatenate(rest, axis=1)[:, :missing]

    def _convert(
        self, stream: "soxr.ResampleStream", block: FloatBlock, *, last: bool
    ) -> FloatBlock:
        frames = np.ascontiguousarray(block.T, np.float32)  # soxr wants [n, C]
        converted: FloatBlock = stream.resample_chunk(frames, last=last)
        self._emitted += len(converted)
        return np.ascontiguousarray(converted.T)


def _new_stream(from_rate: int, to_rate: int, channels: int) -> "soxr.ResampleStream":
    import soxr  # not needed where rates are equal, which starts faster without

    return soxr.ResampleStream(from_rate, to_rate, channels, dtype="float32", quality="VHQ")
