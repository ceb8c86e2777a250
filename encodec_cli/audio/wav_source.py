"""PCM and float WAV, decoded as the bytes arrive; for files and pipes alike."""

import os
from typing import BinaryIO

from encodec_cli.audio.samples import FloatBlock, decode_pcm
from encodec_cli.audio.source import read_over
from encodec_cli.audio.wav_header import WavHeader
from encodec_cli.errors import AudioError

__all__ = ["WavSource", "check_data_fits"]


class WavSource:
    """Samples of a WAV stream that stands at its first sample; see `SampleSource`.

    `read` waits for no byte beyond the frames it was asked for, so a live pipe is followed at the
    pace it is written.

    Args:
        stream: buffered, so that `read(n)` is short only at the end.
        header: its `kind` must be known.
        available_bytes: bytes of samples there are, where the end is known (a file); else None.

    Raises:
        AudioError: `header` promises more than `available_bytes`.
    """

    def __init__(
        self,
        stream: BinaryIO,
        name: str,
        header: WavHeader,
        *,
        available_bytes: int | None,
    ) -> None:
        if header.kind is None:
            raise ValueError(f"{header = }: no kind of PCM this source can decode")
        self.sample_rate = header.sample_rate
        self.channels = header.channels
        self._stream = stream
        self._name = name
        self._kind = header.kind
        self._frame_bytes = header.frame_bytes
        self._seekable = available_bytes is not None
        if available_bytes is not None:
            check_data_fits(name, header, available_bytes)
        promised = header.data_bytes if header.data_bytes is not None else available_bytes
        self.num_frames = None if promised is None else promised // header.frame_bytes
        self._frames_read = 0

    def read(self, frames: int) -> FloatBlock:
        """The next `frames` frames [n, C]; fewer only at the end.

        Raises:
            AudioError: the stream ends before the length its header promises.
        """
        if self.num_frames is not None:
            frames = min(frames, self.num_frames - self._frames_read)
        data = self._stream.read(frames * self._frame_bytes)
        whole = len(data) // self._frame_bytes
        self._frames_read += whole
        if whole < frames and self.num_frames is not None:
            raise AudioError(
                f"{self._name}: ends early: its header promises {self.num_frames} samples, "
                f"{self._frames_read} came; it was cut short, get it again"
            )
        # A recorder that was stopped may leave part of a frame: nothing to hear, so dropped.
        return decode_pcm(data[: whole * self._frame_bytes], self._kind).reshape(-1, self.channels)

    def skip(self, frames: int) -> int:
        """Pass over the next `frames` frames, in a file without reading; how many there were."""
        if not self._seekable or self.num_frames is None:
            return read_over(self, frames)
        frames = min(frames, self.num_frames - self._frames_read)
        self._stream.seek(frames * self._frame_bytes, os.SEEK_CUR)
        self._frames_read += frames
        return frames

    def close(self) -> None:
        """Nothing to let go."""


def check_data_fits(name: str, header: WavHeader, available_bytes: int) -> None:
    """Refuse a file that is shorter than its header says.

    Raises:
        AudioError: fewer than `header.data_bytes` bytes of samples are there.
    """
    if header.data_bytes is not None and header.data_bytes > available_bytes:
        raise AudioError(
            f"{name}: ends early: its header promises {header.data_bytes} bytes of samples, "
            f"{max(available_bytes, 0)} are there; it was cut short, get it again"
        )
