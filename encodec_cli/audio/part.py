"""Part of a recording: from one time on, for so long, some of its channels."""

from dataclasses import dataclass

import numpy as np

from encodec_cli.audio.samples import FloatBlock
from encodec_cli.audio.source import SampleSource
from encodec_cli.errors import AudioError

__all__ = ["Part", "PartSource"]

_SLACK_SECONDS = 0.25
"""Durations in manifests are rounded, or were those of other decoders."""


@dataclass(frozen=True)
class Part:
    """Which part of a recording is meant; as it stands, all of it.

    Attributes:
        start: seconds from the beginning, 0 or more.
        seconds: its length, more than 0; None: to the end.
        channels: which channels, from 0; None: all.
    """

    start: float = 0.0
    seconds: float | None = None
    channels: tuple[int, ...] | None = None

    @property
    def is_all(self) -> bool:
        """Whether it is the whole recording."""
        return self == Part()


class PartSource:
    """A `part` of `source`, which was just opened; see `SampleSource`.

    It begins with the sample nearest to its start and has the number of samples nearest to its
    length. A part that ends up to a quarter of a second behind the recording ends with it.

    Attributes:
        start: samples per channel in front of the part.

    Raises:
        AudioError: the part lies beyond the recording, or it lacks a channel.
    """

    def __init__(self, source: SampleSource, name: str, part: Part) -> None:
        self.sample_rate = source.sample_rate
        self.channels = source.channels
        self._source = source
        self._name = name
        self._channels = None if part.channels is None else list(part.channels)
        if self._channels is not None:
            self._check_channels(self._channels)
            self.channels = len(self._channels)
        self.start = round(part.start * self.sample_rate)
        self._length = None
        if part.seconds is not None:
            self._length = max(1, round(part.seconds * self.sample_rate))
        self.num_frames = self._length
        if source.num_frames is not None:
            self.num_frames = self._fitting(source.num_frames)
        skipped = source.skip(self.start)
        if skipped < self.start:
            raise self._beyond(skipped)
        self._read = 0

    def read(self, frames: int) -> FloatBlock:
        """The next `frames` frames [n, C]; fewer only at the end.

        Raises:
            AudioError: the data are damaged, or the recording ends long before the part does.
        """
        if self._length is not None:
            frames = min(frames, self._length - self._read)
        block = self._source.read(frames)
        if len(block) < frames:
            self._fitting(self.start + self._read + len(block))
        self._read += len(block)
        return block if self._channels is None else np.take(block, self._channels, axis=1)

    def skip(self, frames: int) -> int:
        """Pass over the next `frames` frames; how many there were."""
        if self._length is not None:
            frames = min(frames, self._length - self._read)
        skipped = self._source.skip(frames)
        self._read += skipped
        return skipped

    def close(self) -> None:
        """Let the decoder go."""
        self._source.close()

    def _fitting(self, total: int) -> int:
        """Samples of the part in a recording of `total`."""
        left = total - self.start
        if left <= 0:
            raise self._beyond(total)
        if self._length is None:
            return left
        if self._length - left > _SLACK_SECONDS * self.sample_rate:
            end = (self.start + self._length) / self.sample_rate
            raise AudioError(
                f"{self._name}: the part to code ends at {end:.3f} s, but the recording at "
                f"{total / self.sample_rate:.3f} s; correct its duration"
            )
        return min(left, self._length)

    def _beyond(self, total: int) -> AudioError:
        return AudioError(
            f"{self._name}: the part to code begins at {self.start / self.sample_rate:.3f} s, but "
            f"the recording ends at {total / self.sample_rate:.3f} s; correct its offset"
        )

    def _check_channels(self, channels: list[int]) -> None:
        missing = [channel for channel in channels if not 0 <= channel < self.channels]
        if missing or not channels:
            raise AudioError(
                f"{self._name}: has channels 0 to {self.channels - 1}, no channel "
                f"{missing[0] if missing else 'asked for'}; correct the corpus"
            )
