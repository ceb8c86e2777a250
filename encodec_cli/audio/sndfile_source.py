"""What libsndfile decodes: FLAC, Ogg Vorbis and Opus, AIFF, CAF, AU, odd WAVs ..."""

import os
from typing import BinaryIO

import soundfile

from encodec_cli.audio.samples import FloatBlock
from encodec_cli.audio.source import read_over
from encodec_cli.errors import AudioError

__all__ = ["SndfileSource", "UnreadableError"]

_UNKNOWN_FORMAT = 1
_REASONS = {  # libsndfile error numbers whose own words help nobody
    3: "its header is damaged",
    18: "its codec is not supported",
    24: "its header makes no sense (sample rate or channels)",
    32: "its header says 0 channels",
    33: "its header has too many channels",
    64: "its codec is not supported or its fmt chunk is damaged",
}


_LOSSY_LEAD_IN = {("OGG", "VORBIS"): 1.0, ("OGG", "OPUS"): 1.0}


class UnreadableError(AudioError):
    """A file that libsndfile does not open; another decoder may."""


class SndfileSource:
    """Samples of a seekable file, through libsndfile; see `SampleSource`.

    Args:
        file: a real file (it has a descriptor), read from its beginning.
        forgets: whether its samples are the same wherever decoding began, a second before at most.

    Raises:
        UnreadableError: not audio, or a codec libsndfile lacks.
    """

    def __init__(self, file: BinaryIO, name: str, *, forgets: bool = True) -> None:
        self._name = name
        self._forgets = forgets
        # The position of the descriptor itself counts for libsndfile, not that of the buffer.
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        try:
            self._file = soundfile.SoundFile(file.fileno(), closefd=False)
        except soundfile.LibsndfileError as error:
            raise UnreadableError(_explain(name, error)) from error
        # After every read, python-soundfile seeks to where it already is. That costs time, and at
        # the end of a FLAC stream of unknown length it fails and takes the last block with it.
        self._file.seekable = lambda: False
        self.sample_rate = int(self._file.samplerate)
        self.channels = int(self._file.channels)
        # An unknown length (FLAC from a pipe) shows as the largest signed 64-bit number.
        frames = int(self._file.frames)
        self.num_frames = frames if 0 <= frames < 2**62 else None
        self._frames_read = 0

    def read(self, frames: int) -> FloatBlock:
        """The next `frames` frames [n, C]; fewer only at the end.

        Raises:
            AudioError: the data are damaged, or end before the length the header promises.
        """
        try:
            block: FloatBlock = self._file.read(frames, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise self._damaged(self._frames_read, error) from error
        self._frames_read += len(block)
        promised = self.num_frames
        if len(block) < frames and promised is not None and self._frames_read < promised:
            raise AudioError(
                f"{self._name}: ends early: its header promises {promised} samples, "
                f"{self._frames_read} are there; it was cut short, get it again"
            )
        return block

    def skip(self, frames: int) -> int:
        """Pass over the next `frames` frames; how many there were.

        Formats without loss are not decoded for it. Others lean on what they decoded before: they
        are decoded from a little earlier on.
        """
        lead = _lead_in(self._file.format, self._file.subtype) if self._forgets else None
        if lead is None or self.num_frames is None:
            return read_over(self, frames)
        target = min(self._frames_read + frames, self.num_frames)
        start = target - round(lead * self.sample_rate)
        if start > self._frames_read:
            try:
                self._file.seek(start)
            except soundfile.LibsndfileError as error:
                raise self._damaged(start, error) from error
            skipped, self._frames_read = start - self._frames_read, start
        else:
            skipped = 0
        return skipped + read_over(self, target - self._frames_read)

    def close(self) -> None:
        """Close libsndfile's handle; `file` stays open."""
        self._file.close()

    def _damaged(self, frames: int, error: "soundfile.LibsndfileError") -> AudioError:
        return AudioError(
            f"{self._name}: damaged or cut short after {frames / self.sample_rate:.3f} s "
            f"({_own_words(error)}); get it again"
        )


def _lead_in(container: str, subtype: str) -> float | None:
    """Seconds to decode before a place, so that it decodes as it would from the start on.

    None where no number is known to be enough.
    """
    if subtype.startswith(("PCM_", "FLOAT", "DOUBLE", "ULAW", "ALAW")):
        return 0.0
    return _LOSSY_LEAD_IN.get((container, subtype))


def _explain(name: str, error: "soundfile.LibsndfileError") -> str:
    if error.code == _UNKNOWN_FORMAT:
        return (
            f"{name}: not audio in a format libsndfile reads, whatever its first bytes say; "
            "convert it first, e.g. with ffmpeg"
        )
    reason = _REASONS.get(error.code) or _own_words(error)
    return f"{name}: cannot be decoded: {reason}; convert it first, e.g. with ffmpeg"


def _own_words(error: "soundfile.LibsndfileError") -> str:
    return f"libsndfile: {str(error.error_string).rstrip('.')}"
