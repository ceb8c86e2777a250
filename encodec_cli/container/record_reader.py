"""Reading the records of formats 1 and 2, from files and pipes, past damage."""

from array import array
from collections import deque
from collections.abc import Iterator, Mapping

import numpy as np

from encodec_cli.container.checksum import CRC_BYTES, recover_index
from encodec_cli.container.header import Header
from encodec_cli.container.payload import Payload, StoredChunk
from encodec_cli.container.records import KIND_END, EndMark, Framing, parse_end
from encodec_cli.container.resync import Found, RecordFinder
from encodec_cli.container.tally import ChunkTally
from encodec_cli.container.types import ChunkIndex, DamagedChunk, place
from encodec_cli.container.wire import ByteSource
from encodec_cli.errors import ContainerError

__all__ = ["MAX_PROBLEMS", "RecordReader"]

MAX_PROBLEMS = 1000
"""Lines about damage; further ones are not listed."""
_REST_LIMIT = 1 << 20
_LONGEST_END_HEAD = 16


class RecordReader:
    """Iterates over the chunks of a file without decoding them.

    What is wrong with the file as a whole is raised after the last chunk, and with every further
    call.
    """

    _tally: ChunkTally
    _sizes: "array[int]"  # bytes of each chunk record, 0 if not known
    _pending: deque[StoredChunk | DamagedChunk]
    _failure: ContainerError | None
    _ended: bool
    _lost_any: bool

    def __init__(
        self,
        source: ByteSource,
        header: Header,
        framing: Framing,
        payloads: Mapping[int, Payload],
    ) -> None:
        """`source` stands behind the header."""
        self._source = source
        self._header = header
        self._framing = framing
        self._payloads = payloads
        self.num_samples = header.num_samples
        self.source_num_samples = header.source_num_samples
        self.problems: list[str] = []
        self._first_chunk = source.offset
        self._finder = RecordFinder(source, header, framing, payloads, lambda: self.index)
        self._index: ChunkIndex | None = None
        self._index_read = False
        self._restart(0, 0)

    @property
    def full_bytes(self) -> int:
        """The most that the record of a chunk takes."""
        return self._finder.full_bytes

    @property
    def offset(self) -> int:
        """Bytes consumed so far."""
        return self._source.offset

    @property
    def index(self) -> ChunkIndex | None:
        """Positions of the chunks; None in a pipe or if the end mark is missing or damaged."""
        if not self._index_read:
            self._index_read = True
            self._index = self._read_index()
        return self._index

    def seek(self, chunk: int) -> None:
        """Continue with chunk number `chunk`."""
        index = self.index
        if index is None:
            raise ContainerError(
                "cannot seek: a pipe, or a file without its end mark; read it from the start"
            )
        if not 0 <= chunk < index.chunks:
            raise ContainerError(f"cannot seek to chunk {chunk}: the file has {index.chunks}")
        self._source.seek(int(index.offsets[chunk]))
        self._restart(chunk, index.num_samples)

    def __iter__(self) -> Iterator[StoredChunk | DamagedChunk]:
        return self

    def __next__(self) -> StoredChunk | DamagedChunk:
        while not self._pending and not self._ended:
            try:
                self._advance()
            except ContainerError as error:
                self._ended = True
                self._failure = error
        if self._pending:
            return self._pending.popleft()
        if self._failure is not None:
            raise self._failure
        raise StopIteration

    def _restart(self, chunk: int, num_samples: int) -> None:
        self._tally = ChunkTally(self._header)
        if chunk:
            self._tally.jump(chunk, num_samples)
        self._sizes = array("I", [0]) * chunk
        self._pending = deque()
        self._ended = False
        self._failure = None
        self._lost_any = False

    def _advance(self) -> None:
        """Read one record, or get past damage; fills `_pending` or ends."""
        start = self._source.offset
        expected = self._tally.count
        found = self._finder.here(expected)
        intact = found is not None
        if found is None:
            cut_short = self._finder.ends_inside(expected)
            found = self._finder.after_damage(expected)
            if found is None:
                what = "truncated: the file ends at" if cut_short else "damaged from"
                raise ContainerError(
                    f"{what} {place(self._header, expected, start)}; "
                    "no intact chunk and no end mark follow"
                )
        if not intact:
            self._report_gap(found, start)
        if found.end is None:
            self._take_chunk(found)
        else:
            self._take_end(found, found.end)

    def _report_gap(self, found: Found, start: int) -> None:
        extra = self._source.offset - start
        if found.index == self._tally.count:
            follower = "the end mark" if found.end else "it"
            stray = f"{extra} bytes that belong to no chunk stand before {follower}"
            self._note(found.index, found.index, start, stray)
        reason = "damaged (checksum mismatch)" if extra else "missing from the file"
        if found.index > self._tally.count:
            self._note(self._tally.count, found.index - 1, start, reason)
        samples = found.end.num_samples if found.end else self._header.num_samples
        for chunk in range(self._tally.count, found.index):
            frames = self._header.chunk_frames
            if samples is not None and chunk < self._header.chunk_count(samples):
                frames = self._header.frames_in_chunk(chunk, samples)
            self._lose(chunk, frames, reason)

    def _note(self, first: int, last: int, offset: int, problem: str) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            until = f" and on to chunk {last}" if last > first else ""
            self.problems.append(f"{place(self._header, first, offset)}{until}: {problem}")
        elif len(self.problems) == MAX_PROBLEMS:
            self.problems.append("further problems are not listed")

    def _lose(self, chunk: int, frames: int, reason: str) -> None:
        self._lost_any = True
        self._tally.add(frames)
        self._sizes.append(0)
        self._pending.append(DamagedChunk(chunk, frames, reason))

    def _take_chunk(self, found: Found) -> None:
        offset, frames = self._source.offset, found.head.frames
        self._source.skip(found.head.size)
        problem = self._payloads[found.head.kind].problem(frames, found.payload)
        if problem is not None:
            self._note(found.index, found.index, offset, problem)
            self._lose(found.index, frames, problem)
            return
        self._tally.add(frames)
        self._sizes.append(found.head.size)
        self._pending.append(
            StoredChunk(found.index, offset, found.head.kind, frames, found.payload)
        )

    def _take_end(self, found: Found, end: EndMark) -> None:
        self._ended = True
        self._source.skip(found.head.size)
        known = (self._header.num_samples, self._header.source_num_samples)
        self.num_samples = end.num_samples
        self.source_num_samples = end.source_num_samples
        tail_bytes = self._framing.tail_bytes
        tail = self._source.peek(tail_bytes)
        self._source.skip(len(tail))
        if len(tail) < tail_bytes:
            raise ContainerError(
                f"truncated: the file ends {tail_bytes - len(tail)} bytes short, after all chunks "
                f"(byte {self._source.offset})"
            )
        if tail != self._framing.tail(found.head.size):
            raise ContainerError(
                f"end mark damaged (bytes {self._source.offset - tail_bytes} to "
                f"{self._source.offset - 1}); all chunks were read"
            )
        rest = self._source.count_rest(_REST_LIMIT)
        if rest:
            more = " or more" if rest >= _REST_LIMIT else ""
            raise ContainerError(
                f"{rest}{more} bytes follow the end mark (byte {self._source.offset - rest}); "
                "cut them off"
            )
        self._tally.check_end(end.num_samples, frames_known=not self._lost_any)
        if known[0] not in (None, end.num_samples) or known[1] not in (
            None,
            end.source_num_samples,
        ):
            raise ContainerError("header and end mark disagree on the number of samples")
        seen = np.array(self._sizes, np.int64)
        wrong = np.flatnonzero((seen != 0) & (seen != end.sizes))
        if wrong.size:
            raise ContainerError(
                f"the index says chunk {wrong[0]} takes {end.sizes[wrong[0]]} bytes, "
                f"but it takes {seen[wrong[0]]}"
            )

    def _read_index(self) -> ChunkIndex | None:
        size = self._source.size()
        if size is None:
            return None
        tail_bytes = self._framing.tail_bytes
        tail = self._source.read_at(max(0, size - tail_bytes), tail_bytes)
        end_bytes = self._framing.end_bytes(tail)
        if end_bytes is None:
            return None
        start = size - tail_bytes - end_bytes
        # An entry is far shorter than its chunk: a byte for one of 6 to 127 bytes, and so on.
        most = 32 + (start - self._first_chunk) // self._framing.head_bytes
        if start < self._first_chunk or end_bytes > most:
            return None
        record = self._source.read_at(start, end_bytes)
        head = self._framing.parse_head(record[:_LONGEST_END_HEAD])
        if head is None or head.size != end_bytes or head.kind != KIND_END or head.frames:
            return None
        end = parse_end(record[head.start : -CRC_BYTES])
        if end is None or recover_index(record) != len(end.sizes):
            return None
        offsets = np.cumsum(np.concatenate(([self._first_chunk], end.sizes)))
        chunks = self._header.chunk_count(end.num_samples)
        if offsets[-1] != start or len(offsets) != chunks + 1:
            return None
        return ChunkIndex(offsets, end.num_samples, end.source_num_samples)
