"""What the boxes of an MP4, M4A, MOV or 3GP file say about its first sound track.

    ftyp | moov( mvhd trak( edts(elst) mdia( mdhd hdlr minf( stbl( stts stsz ))))) | mdat
    ftyp | moov( ... mvex(trex)) | moof( traf( tfhd trun )) mdat | moof mdat ...

FFmpeg believes these tables: it takes memory for as many packets as they name, and stops without
a word where the file ends. So they are read here first.

Source: ISO/IEC 14496-12, sections 4.2 and 8; Apple's QuickTime File Format (edit lists).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from encodec_cli.audio.window import file_size, read_at
from encodec_cli.errors import AudioError

__all__ = ["Mp4Sound", "looks_like_mp4", "read_mp4"]

_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"moof")
_PARENTS = frozenset(
    {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"mvex", b"moof", b"traf"}
)
_MOST_BOXES = 1 << 20
_MOST_EDITED = 1 << 24


class Mp4Sound(NamedTuple):
    """What is known of the sound before it is decoded.

    Attributes:
        seconds: its length, edit list applied; None if the file does not say, or has several edits.
        even: whether all packets but the last have the same length: then no time is left out
            between them, and a time names a sample.
    """

    seconds: Fraction | None
    even: bool


class _Box(NamedTuple):
    kind: bytes
    body: int
    end: int


@dataclass
class _Track:
    kind: bytes = b""
    number: int = 0
    timescale: int = 0
    samples: int = 0
    duration: int = 0
    even: bool = False
    edits: list[tuple[int, int]] = field(default_factory=list)


def looks_like_mp4(head: bytes) -> bool:
    """Whether the first 8 bytes are those of a box that such files start with."""
    return head[4:8] in _FIRST_BOXES


def read_mp4(file: BinaryIO, name: str, start: int) -> Mp4Sound:
    """The first sound track of a `file` whose boxes begin at byte `start`.

    Raises:
        AudioError: a box ends behind the end of the file, or a table names more than there can be.
    """
    reader = _Reader(file, name)
    reader.walk(start, file_size(file), ())
    reader.check_edits()
    sound = next((track for track in reader.tracks if track.kind == b"soun"), None)
    if sound is None or sound.timescale == 0 or sound.duration == 0:
        return Mp4Sound(None, even=False)
    return Mp4Sound(_edited(sound, reader.timescale), sound.even)


def _edited(track: _Track, movie_scale: int) -> Fraction | None:
    """Seconds of `track` that its edit list leaves."""
    media = Fraction(track.duration, track.timescale)
    edits = [(length, time) for length, time in track.edits if time != -1]
    if not track.edits:
        return media
    if len(edits) != 1 or movie_scale == 0:
        return None
    length, time = edits[0]
    rest = media - Fraction(time, track.timescale)
    edited = Fraction(length, movie_scale)
    # An edit up to the end is as long as the rest, rounded to units that are coarse, often 1 ms.
    if length == 0 or edited > rest - Fraction(1, movie_scale):
        return max(rest, Fraction(0))
    return edited


class _Reader:
    def __init__(self, file: BinaryIO, name: str) -> None:
        self.tracks: list[_Track] = []
        self.timescale = 0
        self._file = file
        self._size = file_size(file)
        self._name = name
        self._boxes = 0
        self._default_durations: dict[int, int] = {}
        self._fragment: _Track | None = None
        self._fragment_samples = 0
        self._duration = 0

    def walk(self, start: int, end: int, inside: tuple[bytes, ...]) -> None:
        for box in self._children(start, end, outermost=not inside):
            if box.kind == b"trak":
                self.tracks.append(_Track())
            if box.kind in _PARENTS and box.kind not in inside:
                self.walk(box.body, box.end, (*inside, box.kind))
            elif inside:
                self._read(box, inside)

    def check_edits(self) -> None:
        """FFmpeg makes a copy of the table of packets for each edit."""
        for track in self.tracks:
            if len(track.edits) * max(1, track.samples) > _MOST_EDITED:
                raise self._damaged(f"an edit list of {len(track.edits)} entries")

    def _children(self, start: int, end: int, *, outermost: bool) -> Iterator[_Box]:
        position = start
        while position + 8 <= end:
            self._boxes += 1
            if self._boxes > _MOST_BOXES:
                raise self._damaged("more boxes than any recording has")
            head = read_at(self._file, position, 16)
            size, kind = struct.unpack_from(">I4s", head)
            body = position + 8
            if size == 1 and len(head) == 16:
                (size,) = struct.unpack_from(">Q", head, 8)
                body += 8
            last = end if size == 0 else position + size
            if outermost and last > end:
                raise AudioError(
                    f"{self._name}: ends early: its header promises samples up to byte {last}, it "
                    f"has {end} bytes; it was cut short, get it again"
                )
            if last < body:
                raise self._damaged(f"a box of {size} bytes at byte {position}")
            yield _Box(kind, body, min(last, end))
            position = last
        if (
            outermost
            and position < end
            and end - position < 8
            and read_at(self._file, position, 8).strip(b"\0")
        ):
            raise AudioError(
                f"{self._name}: ends early, inside the head of a box at byte {position}; it was "
                "cut short, get it again"
            )

    def _read(self, box: _Box, inside: tuple[bytes, ...]) -> None:
        head = read_at(self._file, box.body, min(64, box.end - box.body)).ljust(64, b"\0")
        if box.kind == b"mvhd":
            self.timescale = _timescale(head)
        elif box.kind == b"trex":
            number, _, duration = struct.unpack_from(">III", head, 4)
            self._default_durations[number] = duration
        elif box.kind == b"tfhd":
            self._begin_fragment(head)
        elif box.kind == b"trun":
            self._read_run(box, head)
        elif b"trak" in inside:
            self._read_of_track(box, head, self.tracks[-1])

    def _read_of_track(self, box: _Box, head: bytes, track: _Track) -> None:
        if box.kind == b"mdhd":
            track.timescale = _timescale(head)
        elif box.kind == b"tkhd":
            (track.number,) = struct.unpack_from(">I", head, 20 if head[0] else 12)
        elif box.kind == b"hdlr" and not track.kind:
            track.kind = head[8:12]
        elif box.kind in (b"stsz", b"stz2"):
            size, track.samples = struct.unpack_from(">II", head, 4)
            self._check_count(track.samples * (size if box.kind == b"stsz" and size else 1))
        elif box.kind in (b"stts", b"ctts"):
            table = self._table(box, head, ">u4", 2)
            self._check_count(int(table[:, 0].sum()))
            if box.kind == b"stts":
                track.duration = int((table[:, 0] * table[:, 1]).sum())
                track.even = len(table) == 1 or (len(table) == 2 and table[1, 0] == 1)
        elif box.kind == b"elst":
            numbers = self._table(box, head, ">i8" if head[0] else ">i4", 2, trailing=4)
            track.edits = [(int(length), int(time)) for length, time in numbers]

    def _begin_fragment(self, head: bytes) -> None:
        flags, number = struct.unpack_from(">II", head)
        self._fragment = next((each for each in self.tracks if each.number == number), None)
        self._duration = self._default_durations.get(number, 0)
        at = 8 + (8 if flags & 1 else 0) + (4 if flags & 2 else 0)
        if flags & 8:
            (self._duration,) = struct.unpack_from(">I", head, at)

    def _read_run(self, box: _Box, head: bytes) -> None:
        flags, count = struct.unpack_from(">II", head)
        self._fragment_samples += count
        self._check_count(self._fragment_samples)
        if self._fragment is None:
            return
        if not flags & 0x100:
            self._fragment.duration += count * self._duration
            return
        skip = 8 + (4 if flags & 1 else 0) + (4 if flags & 4 else 0)
        columns = 1 + sum(bool(flags & bit) for bit in (0x200, 0x400, 0x800))
        data = read_at(self._file, box.body + skip, min(4 * columns * count, box.end - box.body))
        whole = len(data) // (4 * columns) * 4 * columns
        table = np.frombuffer(data[:whole], ">u4").reshape(-1, columns)
        self._fragment.duration += int(table[:, 0].astype(np.int64).sum())

    def _table(
        self, box: _Box, head: bytes, number: str, columns: int, *, trailing: int = 0
    ) -> NDArray[np.int64]:
        """The first columns of a table that has its number of rows in front; as [rows, columns]."""
        (count,) = struct.unpack_from(">I", head, 4)
        row = np.dtype([("numbers", number, (columns,)), ("rest", "V", trailing)])
        room = max(0, box.end - box.body - 8) // row.itemsize
        data = read_at(self._file, box.body + 8, row.itemsize * min(count, room))
        rows = np.frombuffer(data[: len(data) // row.itemsize * row.itemsize], row)
        return rows["numbers"].astype(np.int64)

    def _check_count(self, count: int) -> None:
        if count > self._size:
            raise self._damaged(f"a table of {count} packets in {self._size} bytes")

    def _damaged(self, what: str) -> AudioError:
        return AudioError(f"{self._name}: damaged: it has {what}; get it again")


def _timescale(head: bytes) -> int:
    """Units per second, from the head of a `mvhd` or `mdhd` box."""
    (scale,) = struct.unpack_from(">I", head, 20 if head[0] else 12)
    return int(scale)
