"""What the reader asks of a decoder, whichever library or parser stands behind it."""

from typing import Protocol

from encodec_cli.audio.samples import FloatBlock
from encodec_cli.errors import AudioError
from encodec_cli.io.limits import MAX_CHANNELS, MAX_RATE_HZ, MIN_RATE_HZ

__all__ = ["SampleSource", "check_layout", "read_over"]

_SKIPPED_BLOCK = 1 << 16


class SampleSource(Protocol):
    """Forward-only samples. `num_frames` is None when only the end of the stream will tell."""

    sample_rate: int
    channels: int
    num_frames: int | None

    def read(self, frames: int) -> FloatBlock:
        """The next `frames` frames [n, C]; fewer only at the end.

        Raises:
            AudioError: the data are damaged.
            OSError: the file or pipe failed.
        """

    def skip(self, frames: int) -> int:
        """Pass over the next `frames` frames, without decoding them where the format allows.

        What is read then is what would have been read without it. Returns how many there were;
        fewer only at the end.

        Raises:
            AudioError, OSError: see `read`.
        """

    def close(self) -> None:
        """Let the decoder go; the file is closed by whoever opened it."""


def read_over(source: SampleSource, frames: int) -> int:
    """Pass over the next `frames` frames by reading them; how many there were."""
    skipped = 0
    while skipped < frames:
        wanted = min(_SKIPPED_BLOCK, frames - skipped)
        got = len(source.read(wanted))
        skipped += got
        if got < wanted:
            break
    return skipped


def check_layout(name: str, sample_rate: int, channels: int) -> None:
    """Refuse a header whose rate (Hz) or channel count no real recording has.

    Raises:
        AudioError: 0 or more than `MAX_CHANNELS` channels, or a rate outside
            `MIN_RATE_HZ`..`MAX_RATE_HZ`.
    """
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(
            f"{name}: its header says {channels} channels, allowed are 1 to {MAX_CHANNELS}; "
            "export it again"
        )
    if not MIN_RATE_HZ <= sample_rate <= MAX_RATE_HZ:
        raise AudioError(
            f"{name}: its header says {sample_rate} Hz, allowed are {MIN_RATE_HZ} to "
            f"{MAX_RATE_HZ} Hz; export it again"
        )
