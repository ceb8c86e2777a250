"""From frame to frame through a stream of frames that start with a sync word (MP3, ADTS).

Such a file has no table of contents, and what it says about its length (if anything) may be wrong.
The only true length is the number of frames. What is between them (tags, junk) is stepped over.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from encodec_cli.audio.tags import LONGEST_TAG_HEAD, tag_size
from encodec_cli.errors import AudioError

__all__ = ["FrameFormat", "FrameHead", "FrameWalker", "WalkedFrame"]

_SEARCH_BYTES = 1 << 16
_RUN = 3
# Each place that looks like a frame costs a look at those behind it. In random bytes one place in
# 4,000 does, so this many are met in a quarter of a gigabyte of junk, or in a file made to be slow.
_MOST_FALSE_STARTS = 1 << 16


class FrameHead(NamedTuple):
    """What the head of one frame says.

    Attributes:
        size: bytes, head included.
        samples: per channel, as the core codec counts them (before any SBR).
        rate: Hz, likewise.
        kind: equal for frames that can follow each other in one stream.
    """

    size: int
    samples: int
    rate: int
    kind: tuple[int, ...]


@dataclass(frozen=True)
class FrameFormat:
    """A format made of frames.

    Attributes:
        name: for messages.
        sync: what the first bytes of a head look like; quicker to look for than to parse.
        head_bytes: how many bytes a head has.
        parse: what a head says; None if it is none.
    """

    name: str
    sync: re.Pattern[bytes]
    head_bytes: int
    parse: Callable[[bytes], FrameHead | None]


class WalkedFrame(NamedTuple):
    """A frame, whole unless the end of the file cuts it off.

    Attributes:
        offset: of its first byte in the stream.
        seam: it does not follow the frame before it directly, or is of another kind.
    """

    offset: int
    head: FrameHead
    data: bytes
    seam: bool

    @property
    def whole(self) -> bool:
        """Whether all its bytes are there."""
        return len(self.data) == self.head.size


class FrameWalker:
    """Walks the frames of one seekable `stream`, which error messages call `name`."""

    def __init__(self, stream: BinaryIO, form: FrameFormat, name: str) -> None:
        self._stream = stream
        self._form = form
        self._name = name
        self._false_starts = 0

    def find(self, *, junk: int, run: int) -> int | None:
        """Offset of the first of `run` frames in a row, after at most `junk` bytes; None if none.

        Fewer frames count as well where they end exactly with the stream.
        """
        return self._search(0, run, most=junk)

    def walk(self, start: int) -> Iterator[WalkedFrame]:
        """Frames in order from offset `start`, where one begins.

        Raises:
            AudioError: there is more junk than any recording has.
        """
        position, seam = start, True
        kind: tuple[int, ...] | None = None
        while True:
            head = self._head_at(position)
            if head is not None and kind is not None and head.kind != kind:
                head = head if self._runs_on(position, _RUN) else None
            if head is None:
                found = self._next_frame(position, kind)
                if found is None:
                    return
                position, seam = found, True
                continue
            self._stream.seek(position)
            data = self._stream.read(head.size)
            yield WalkedFrame(position, head, data, seam or head.kind != kind)
            position, seam, kind = position + head.size, False, head.kind

    def _head_at(self, position: int) -> FrameHead | None:
        self._stream.seek(position)
        return self._form.parse(self._stream.read(self._form.head_bytes))

    def _next_frame(self, position: int, kind: tuple[int, ...] | None) -> int | None:
        """Where frames of any kind go on after something else at `position`."""
        while True:
            self._stream.seek(position)
            length = tag_size(self._stream.read(LONGEST_TAG_HEAD))
            if length == 0:
                break
            position += length
        head = self._head_at(position)
        if head is not None and head.kind == kind:
            return position
        return self._search(position, _RUN, most=None)

    def _search(self, position: int, run: int, *, most: int | None) -> int | None:
        limit = None if most is None else position + most
        overlap = self._form.head_bytes - 1
        while limit is None or position <= limit:
            self._stream.seek(position)
            data = self._stream.read(_SEARCH_BYTES)
            if len(data) <= overlap:
                return None
            found = self._form.sync.search(data)
            while found is not None and (limit is None or position + found.start() <= limit):
                at = found.start()
                if self._form.parse(data[at : at + self._form.head_bytes]) is not None:
                    if self._runs_on(position + at, run):
                        return position + at
                    self._count_false_start(position + at)
                found = self._form.sync.search(data, at + 1)
            position += len(data) - overlap
        return None

    def _count_false_start(self, position: int) -> None:
        self._false_starts += 1
        if self._false_starts > _MOST_FALSE_STARTS:
            raise AudioError(
                f"{self._name}: damaged: around byte {position} is more junk between "
                f"{self._form.name} frames than in any recording; get it again"
            )

    def _runs_on(self, position: int, run: int) -> bool:
        """Whether `run` frames of one kind stand in a row from `position`, or end the stream."""
        kind = None
        for count in range(run):
            self._stream.seek(position)
            data = self._stream.read(LONGEST_TAG_HEAD)
            if not data or tag_size(data):
                return count > 0
            head = self._form.parse(data)
            if head is None or (kind is not None and head.kind != kind):
                return False
            kind = head.kind
            position += head.size
        return True
