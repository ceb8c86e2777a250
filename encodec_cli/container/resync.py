"""Finding the next intact record of a file, right here or after damage."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from encodec_cli.container.checksum import recover_index, sealed
from encodec_cli.container.header import Header
from encodec_cli.container.payload import Payload
from encodec_cli.container.records import (
    KIND_END,
    KIND_RAW,
    EndMark,
    Framing,
    Head,
    parse_end,
)
from encodec_cli.container.types import ChunkIndex
from encodec_cli.container.wire import ByteSource
from encodec_cli.errors import ContainerError

__all__ = ["Found", "RecordFinder"]

# What is missing from a file may have lasted as long as all its bytes could play, and a minute
# more: silence takes its place, and a small file is not to fill a disk with it.
_MAX_LOST = 1 << 16  # chunks
_FREE_LOST_SECONDS = 60
_MAX_UNKNOWN_BYTES = 1 << 21  # payload of a record kind that this version does not know
# A damaged record seems to have any of 2^32 numbers: the more of them pass, the likelier is a miss.
# So a record after a longer gap counts if the one behind it is intact as well.
_SURELY_LOST = 2
_SCAN_BYTES = 1 << 24  # how far one gap is searched
_SHIFTED_CHUNKS = 16  # chunks looked for by an index that the bytes no longer agree with
# Effort after damage, for a whole file: a start capital, and an income for every byte read, so
# that a hostile file takes time in proportion to its length.
_HEADS = 50_000  # looked at closely
_BYTES_PER_HEAD = 32
_TRIES = 50_000  # checksums computed
_BYTES_PER_TRY = 32
_EFFORT = 1 << 28  # bytes checksummed
_EFFORT_PER_BYTE = 16


@dataclass(frozen=True)
class Found:
    """An intact record.

    Attributes:
        index: chunk number that its checksum proves; the number of chunks for the end record.
        head: its head.
        payload: its payload bytes.
        end: content of the end record, None for others.
    """

    index: int
    head: Head
    payload: bytes
    end: EndMark | None


class RecordFinder:
    """Reads records in order and finds the way back after damage, with bounded effort."""

    def __init__(
        self,
        source: ByteSource,
        header: Header,
        framing: Framing,
        payloads: Mapping[int, Payload],
        index: Callable[[], ChunkIndex | None],
    ) -> None:
        """`index` gives where the file's own index says that chunks lie, if it has one."""
        self._source = source
        self._header = header
        self._framing = framing
        self._payloads = payloads
        self._index = index
        self._heads = 0
        self._tries = 0
        self._crc_bytes = 0
        self._lost = 0
        raw = payloads[KIND_RAW]
        full = bytes(raw.bounds(header.chunk_frames)[1])
        self.full_bytes = len(framing.record(KIND_RAW, header.chunk_frames, full, 0))
        self._least_bytes = self.full_bytes if header.code_model is None else framing.head_bytes

    def here(self, index: int) -> Found | None:
        """Record `index` at the source's position, which stays there; None if not intact.

        Raises:
            ContainerError: an intact record of a kind that a newer version invented.
        """
        head = self._head(0, index)
        if head is None:
            return None
        record = self._source.peek(head.size)
        if len(record) < head.size or not sealed(record, index):
            return None
        if head.kind != KIND_END and head.kind not in self._payloads:
            raise ContainerError(
                f"chunk {index} (byte {self._source.offset}) is of type {head.kind}: the file was "
                "made by a newer version; update encodec-cli"
            )
        return self._found(index, head, record)

    def ends_inside(self, index: int) -> bool:
        """Whether the file ends before or inside what looks like record `index`."""
        if len(self._source.peek(self._framing.head_bytes)) < self._framing.head_bytes:
            return True
        head = self._head(0, index)
        return head is not None and len(self._source.peek(head.size)) < head.size

    def after_damage(self, index: int) -> Found | None:
        """Next intact record whose number is `index` or higher; None if there is none.

        On success the source stands at the record, otherwise where the search ended.
        """
        # Chunks cut out cleanly leave the next one here; a damaged one leaves it a chunk further.
        head = self._head(0, index)
        for ahead in (0, self.full_bytes if head is None else head.size):
            found = self._candidate(ahead, index)
            if found is not None:
                self._source.skip(ahead)
                break
        else:
            found = self._by_index(index) or self._scan(index)
        if found is not None:
            self._lost += found.index - index
        return found

    def _by_index(self, index: int) -> Found | None:
        """Move to the next record that is where the file's own index says."""
        known = self._index()
        if known is None or index > known.chunks:
            return None
        # Where this chunk should begin tells whether what follows has been moved.
        shift = self._source.offset - int(known.offsets[index])
        last = known.chunks if shift == 0 else min(known.chunks, index + _SHIFTED_CHUNKS)
        for chunk in range(index + 1, last + 1):
            if self._exhausted():
                return None
            start = int(known.offsets[chunk]) + shift
            size = self._framing.head_bytes
            if chunk < known.chunks:
                size = int(known.offsets[chunk + 1]) - int(known.offsets[chunk])
            record = self._source.read_at(start, size)
            self._crc_bytes += size
            if chunk == known.chunks or sealed(record, chunk):
                before = self._source.offset
                self._source.seek(start)
                found = self.here(chunk)
                if found is not None:
                    return found
                self._source.seek(before)
        return None

    def _scan(self, index: int) -> Found | None:
        """Move on to the next intact record, byte by byte."""
        scanned = 0
        step = max(4096, self.full_bytes)
        while scanned < _SCAN_BYTES and not self._exhausted():
            window = self._source.peek(step + self._framing.head_bytes - 1)
            for place in self._framing.candidates(window):
                found = self._candidate(int(place), index)
                if found is not None:
                    self._source.skip(int(place))
                    return found
            passed = min(step, len(window))
            if passed == 0:
                break
            self._source.skip(passed)
            scanned += passed
        return None

    def _exhausted(self) -> bool:
        read = self._source.offset
        return (
            self._heads > _HEADS + read // _BYTES_PER_HEAD
            or self._tries > _TRIES + read // _BYTES_PER_TRY
            or self._crc_bytes > _EFFORT + read * _EFFORT_PER_BYTE
        )

    def _candidate(self, ahead: int, index: int) -> Found | None:
        """An intact record `ahead` bytes further whose number is plausible."""
        self._heads += 1
        if self._exhausted():
            return None
        head = self._head(ahead, index)
        if head is None or (head.kind != KIND_END and head.kind not in self._payloads):
            return None
        record = self._source.peek(head.size, ahead=ahead)
        self._tries += 1
        self._crc_bytes += len(record)
        if len(record) < head.size:
            return None
        number = recover_index(record)
        if not index <= number <= index + self._may_miss():
            return None
        found = self._found(number, head, record)
        sure = found is None or found.end is not None or number <= index + _SURELY_LOST
        return found if sure or self._is_at(ahead + head.size, number + 1) else None

    def _is_at(self, ahead: int, index: int) -> bool:
        """Whether record `index` is intact `ahead` bytes further."""
        head = self._head(ahead, index)
        if head is None:
            return False
        record = self._source.peek(head.size, ahead=ahead)
        self._crc_bytes += len(record)
        return len(record) == head.size and sealed(record, index)

    def _found(self, index: int, head: Head, record: bytes) -> Found | None:
        payload = record[head.start : head.start + head.payload]
        if head.kind != KIND_END:
            return Found(index, head, payload, None)
        end = parse_end(payload)
        return None if end is None or len(end.sizes) != index else Found(index, head, payload, end)

    def _head(self, ahead: int, index: int) -> Head | None:
        """Head that could belong to a record numbered `index` or somewhat higher."""
        data = self._source.peek(self._framing.head_bytes, ahead=ahead)
        if len(data) < self._framing.head_bytes:
            return None
        head = self._framing.parse_head(data)
        if head is None:
            return None
        if head.kind == KIND_END:
            fits = head.frames == 0 and head.payload <= 24 + 5 * (index + self._may_miss())
        elif not 0 < head.frames <= self._header.chunk_frames:
            fits = head.kind not in self._payloads and head.frames == 0
        elif head.kind in self._payloads:
            least, most = self._payloads[head.kind].bounds(head.frames)
            fits = least <= head.payload <= most
        else:
            fits = True
        if fits and head.kind != KIND_END and head.kind not in self._payloads:
            fits = head.payload <= _MAX_UNKNOWN_BYTES
        return head if fits else None

    def _may_miss(self) -> int:
        """Chunks that may be missing here, besides those that are missing already."""
        size = self._file_bytes
        if size is None:
            size = self._source.offset
        free = -(-_FREE_LOST_SECONDS // self._header.chunk_seconds(1))
        return min(_MAX_LOST, int(free) + size // self._least_bytes) - self._lost

    @cached_property
    def _file_bytes(self) -> int | None:
        return self._source.size()
