"""All that FFmpeg reads and no other decoder here does: M4A, WMA, Matroska, AC-3, AMR, films ...

For a part of a recording decoding begins shortly before it where that gives the same samples: where
times name samples (MP4 and MOV with packets of one length, WavPack, TTA) and the codec forgets.
AAC and AC-3 do not: FFmpeg fills their noise bands from random numbers, which go on from the first
packet. Nor does its Opus decoder, of whose past something stays for ever. Matroska has times in
milliseconds. There, a part is decoded from the start on.
"""

from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from itertools import chain
from typing import BinaryIO

from encodec_cli.audio.av_decoding import Container, Piece, open_container
from encodec_cli.audio.caf import read_packet_table
from encodec_cli.audio.frame_source import FrameSource, exactly
from encodec_cli.audio.mp4_boxes import looks_like_mp4, read_mp4
from encodec_cli.audio.window import open_window, read_at

__all__ = ["FoundContainer", "find_container"]

# In these the header counts the samples, and FFmpeg delivers as many.
_EXACT = frozenset({"ape", "caf", "flac", "tak", "tta", "w64", "wv"})
# Of those, where each packet says which sample it begins with.
_TIMED = frozenset({"tta", "wv"})
# A decoder may deliver less than the table of packets says by as much as it delays.
_SLACK = 4096


class FoundContainer:
    """The first sound of a file that FFmpeg opened.

    Attributes:
        format: FFmpeg's name of the container.
    """

    def __init__(
        self,
        container: Container,
        name: str,
        seconds: Fraction | None,
        packet_table: tuple[int, int] | None,
        reopen: Callable[[], Container | None] | None,
    ) -> None:
        """`reopen` opens it once more; None where times do not name samples."""
        self.format = container.format
        self._reopen = reopen
        self._packet_table = packet_table
        self._container = container
        self._name = name
        self._seconds = seconds

    def source(self) -> FrameSource:
        """Its samples.

        Raises:
            AudioError: they cannot be decoded.
        """
        container, name = self._container, self._name
        if self._packet_table is not None:
            # FFmpeg takes off the padding of ALAC although its last packet is short already.
            samples, skip = self._packet_table
            pieces = container.pieces(untrimmed=True)
            return FrameSource(exactly(pieces, name, skip=skip, samples=samples), name, samples)
        if container.format in _EXACT and container.samples is not None:
            samples = container.samples
            pieces = exactly(container.pieces(), name, samples=samples)
            return FrameSource(pieces, name, samples, seek=self._seek(samples, slack=0))
        if self._seconds is None:
            return FrameSource(container.pieces(), name, None)
        source = FrameSource(_lasting(container.pieces(), name, self._seconds), name, None)
        samples = round(self._seconds * source.sample_rate)
        source.num_frames = samples
        source.seek = self._seek(samples, slack=_SLACK)
        return source

    def _seek(self, samples: int, *, slack: int) -> Callable[[int], Iterator[Piece]] | None:
        if self._reopen is None or not self._container.forgets:
            return None
        return partial(_late, self._reopen, self._name, samples, slack)

    def close(self) -> None:
        """Let it go unread."""
        self._container.close()


def find_container(file: BinaryIO, name: str, start: int) -> FoundContainer | None:
    """What FFmpeg makes of `file` from byte `start` on; None if nothing.

    Raises:
        AudioError: a container without sound, with a codec that FFmpeg lacks, or damaged; PyAV is
            missing.
    """
    seconds: Fraction | None = None
    timed = False
    is_mp4 = looks_like_mp4(read_at(file, start, 8))
    if is_mp4:
        seconds, timed = read_mp4(file, name, start)
    container = open_container(open_window(file, start), name)
    if container is None:
        return None
    if is_mp4:
        valid = _itunes_samples(container.metadata.get("iTunSMPB", ""))
        if valid is not None and container.rate:
            seconds = Fraction(valid, container.rate)
    reopen = None
    if timed or container.format in _TIMED:
        reopen = partial(_open_again, file, start, name)
    return FoundContainer(container, name, seconds, read_packet_table(file), reopen)


def _open_again(file: BinaryIO, start: int, name: str) -> Container | None:
    return open_container(open_window(file, start), name)


def _late(
    reopen: Callable[[], Container | None], name: str, samples: int, slack: int, start: int
) -> Iterator[Piece]:
    """What follows the first `start` of `samples`, as decoding from the first one gives it."""
    container = reopen()
    late = None if container is None else container.late_pieces(start)
    if late is None:  # this file is not as regular as most
        container = reopen()
        if container is None:
            return
        late = exactly(container.pieces(), name, skip=start)
    yield from exactly(late, name, samples=samples - start, slack=slack)


def _lasting(pieces: Iterator[Piece], name: str, seconds: Fraction) -> Iterator[Piece]:
    """`pieces` up to `seconds`, at the rate that the decoder turns out to have."""
    first = next(pieces, None)
    if first is None:
        return
    samples = round(seconds * first.rate)
    kept = exactly(chain([first], pieces), name, samples=samples, slack=_SLACK)
    yield from kept


def _itunes_samples(tag: str) -> int | None:
    """How many samples are sound, from iTunes' tag of hexadecimal numbers: 0, delay, padding, N."""
    fields = tag.split()
    if len(fields) < 4:
        return None
    try:
        return int(fields[3], 16) or None
    except ValueError:
        return None
