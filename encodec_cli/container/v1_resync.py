"""Finding the next intact record of a format 1 file, right here or after damage."""

import re
import zlib
from dataclasses import dataclass
from functools import cached_property

from encodec_cli.container.header import Header
from encodec_cli.container.v1_records import (
    CRC_BYTES,
    HEAD_BYTES,
    TYPE_END,
    TYPE_RAW,
    EndMark,
    Head,
    parse_end,
    parse_head,
    raw_payload_bytes,
    record_crc,
    recover_index,
)
from encodec_cli.container.wire import ByteSource, varint
from encodec_cli.errors import ContainerError

__all__ = ["Found", "RecordFinder"]

# What is missing from a file may have lasted as long as all its bytes could play, and a minute
# more: silence takes its place, and a small file is not to fill a disk with it.
_MAX_LOST = 1 << 16  # chunks
_FREE_LOST_SECONDS = 60
_MAX_UNKNOWN_BYTES = 1 << 21  # payload of a record type that this version does not know
_SCAN_BYTES = 1 << 24  # how far one gap is searched
# Effort after damage, for a whole file: a start capital, and an income for every byte read, so
# that a hostile file takes time in proportion to its length.
_HEADS = 50_000  # looked at closely
_BYTES_PER_HEAD = 64
_TRIES = 20_000  # checksums computed
_BYTES_PER_TRY = 256
_EFFORT = 1 << 28  # bytes checksummed
_EFFORT_PER_BYTE = 16
_CANDIDATE = re.compile(rb"\x01|\x00(?=\x00[\x04-\xff])")


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

    def __init__(self, source: ByteSource, header: Header) -> None:
        self._source = source
        self._header = header
        self._heads = 0
        self._tries = 0
        self._crc_bytes = 0
        self._lost = 0
        self._full_bytes = self._full_record_bytes()

    def here(self, index: int) -> Found | None:
        """Record `index` at the source's position, which stays there; None if not intact.

        Raises:
            ContainerError: an intact record of a type that a newer version invented.
        """
        head = self._head(0, index)
        if head is None:
            return None
        record = self._source.peek(head.size)
        if len(record) < head.size or zlib.crc32(record[:-CRC_BYTES], index) != record_crc(record):
            return None
        if head.kind not in (TYPE_END, TYPE_RAW):
            raise ContainerError(
                f"chunk {index} (byte {self._source.offset}) is of type {head.kind}: the file was "
                "made by a newer version; update encodec-cli"
            )
        return self._found(index, head, record)

    def ends_inside(self, index: int) -> bool:
        """Whether the file ends before or inside what looks like record `index`."""
        if len(self._source.peek(HEAD_BYTES)) < HEAD_BYTES:
            return True
        head = self._head(0, index)
        return head is not None and len(self._source.peek(head.size)) < head.size

    def after_damage(self, index: int) -> Found | None:
        """Next intact record whose number is `index` or higher; None if there is none.

        On success the source stands at the record, otherwise where the search ended.
        """
        # Chunks cut out cleanly leave the next one here; a damaged one leaves it a chunk further.
        for ahead in (0, self._full_bytes):
            found = self._candidate(ahead, index)
            if found is not None:
                break
        else:
            ahead, found = self._scan(index)
        self._source.skip(ahead)
        if found is not None:
            self._lost += found.index - index
        return found

    def _scan(self, index: int) -> tuple[int, Found | None]:
        """Move on until an intact record is near; how far ahead it is then, and the record."""
        scanned = 0
        step = max(4096, self._full_bytes)
        while scanned < _SCAN_BYTES and not self._exhausted():
            window = self._source.peek(step + HEAD_BYTES)
            for match in _CANDIDATE.finditer(window[: step + 2]):
                near = window[match.start() : match.start() + 3]
                if match.start() < step and (near[0] == TYPE_END or near in self._raw_starts):
                    found = self._candidate(match.start(), index)
                    if found is not None:
                        return match.start(), found
            passed = min(step, len(window))
            if passed == 0:
                break
            self._source.skip(passed)
            scanned += passed
        return 0, None

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
        if head is None or head.kind not in (TYPE_END, TYPE_RAW):
            return None
        record = self._source.peek(head.size, ahead=ahead)
        self._tries += 1
        self._crc_bytes += len(record)
        if len(record) < head.size:
            return None
        number = recover_index(record)
        if not index <= number <= index + self._may_miss():
            return None
        return self._found(number, head, record)

    def _found(self, index: int, head: Head, record: bytes) -> Found | None:
        payload = record[head.start : -CRC_BYTES]
        if head.kind != TYPE_END:
            return Found(index, head, payload, None)
        end = parse_end(payload)
        return None if end is None or len(end.sizes) != index else Found(index, head, payload, end)

    def _head(self, ahead: int, index: int) -> Head | None:
        """Head that could belong to a record numbered `index` or somewhat higher."""
        data = self._source.peek(HEAD_BYTES, ahead=ahead)
        head = parse_head(data) if len(data) == HEAD_BYTES else None
        if head is None:
            return None
        if head.kind == TYPE_END:
            fits = head.frames == 0 and head.payload <= 24 + 5 * (index + self._may_miss())
        elif head.frames > self._header.chunk_frames:
            fits = False
        elif head.kind == TYPE_RAW:
            fits = head.frames > 0 and head.payload == raw_payload_bytes(self._header, head.frames)
        else:
            fits = head.payload <= _MAX_UNKNOWN_BYTES
        return head if fits else None

    def _may_miss(self) -> int:
        """Chunks that may be missing here, besides those that are missing already."""
        size = self._file_bytes
        if size is None:
            size = self._source.offset
        free = -(-_FREE_LOST_SECONDS // self._header.chunk_seconds(1))
        return min(_MAX_LOST, int(free) + size // self._full_bytes) - self._lost

    @cached_property
    def _file_bytes(self) -> int | None:
        return self._source.size()

    @cached_property
    def _raw_starts(self) -> frozenset[bytes]:
        """First three bytes of every raw record that the header allows, to scan quickly."""
        heads = (
            bytes([TYPE_RAW]) + varint(frames) + varint(raw_payload_bytes(self._header, frames))
            for frames in range(1, self._header.chunk_frames + 1)
        )
        return frozenset(head[:3] for head in heads)

    def _full_record_bytes(self) -> int:
        payload = raw_payload_bytes(self._header, self._header.chunk_frames)
        varints = varint(self._header.chunk_frames) + varint(payload)
        return 1 + len(varints) + payload + CRC_BYTES
