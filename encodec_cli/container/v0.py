"""Format 0 with raw codes: what Meta's `encodec` program writes and reads.

    'ECDC' 00 | u32 JSON bytes | JSON | codes of all segments, back to back, until the file's end

No lengths, no checksums: everything follows from the model's name, `al` (samples per channel) and
`nc` (codebooks). Codes are time-major, 10 bits, flushed to a byte at each segment's end. The
24 kHz model has one segment; here it is read and written in slices of `chunk_frames` frames, a
multiple of 8, which end on a byte.
"""

import io
import struct
from collections.abc import Iterator
from typing import Protocol

import numpy as np

from encodec_cli.container.codes import (
    CodeChunk,
    has_fill_bits,
    pack_time_major,
    packed_bytes,
    unpack_time_major,
)
from encodec_cli.container.header import Header
from encodec_cli.container.tally import ChunkTally
from encodec_cli.container.types import ChunkIndex, DamagedChunk, place
from encodec_cli.container.v0_head import V0Head, v0_prefix
from encodec_cli.container.v0_lm import LmPacker
from encodec_cli.container.wire import ByteSink, ByteSource, pack_scale
from encodec_cli.entropy import CodeModel
from encodec_cli.errors import ContainerError

__all__ = ["V0Reader", "V0Writer"]

_REST_LIMIT = 1 << 20


class V0Reader:
    """Iterates over the chunks of a format 0 file; see `EcdcReader`."""

    def __init__(self, source: ByteSource, head: V0Head) -> None:
        self._source = source
        self.header = head.header
        self._samples = self.header.num_samples or 0
        self.num_samples: int | None = self._samples
        self.source_num_samples = self.header.source_num_samples
        self.problems: list[str] = []
        self._chunks = self.header.chunk_count(self._samples)
        self._next = 0
        self._start = source.offset
        self._codes_bytes = self._offset_of(self._chunks) - self._start
        size = source.size()
        if size is not None:
            self._check_codes_bytes(size - self._start)

    @property
    def offset(self) -> int:
        """Bytes consumed so far."""
        return self._source.offset

    @property
    def index(self) -> ChunkIndex | None:
        """Positions of the chunks, computed; None in a pipe."""
        if not self._source.seekable:
            return None
        full = _chunk_bytes(self.header, self.header.chunk_frames)
        offsets = self._start + full * np.arange(self._chunks + 1, dtype=np.int64)
        for chunk in range(max(0, self._chunks - 1), self._chunks + 1):
            offsets[chunk] = self._offset_of(chunk)
        return ChunkIndex(offsets, self._samples, self.source_num_samples)

    def seek(self, chunk: int) -> None:
        """Continue with chunk number `chunk`."""
        if not 0 <= chunk < self._chunks:
            raise ContainerError(f"cannot seek to chunk {chunk}: the file has {self._chunks}")
        self._source.seek(self._offset_of(chunk))
        self._next = chunk

    def __iter__(self) -> Iterator[CodeChunk | DamagedChunk]:
        return self

    def __next__(self) -> CodeChunk | DamagedChunk:
        index, header = self._next, self.header
        if index == self._chunks:
            # Only a pipe can get here with bytes left.
            rest = self._source.count_rest(_REST_LIMIT)
            self._check_codes_bytes(self._codes_bytes + rest, at_least=rest >= _REST_LIMIT)
            raise StopIteration
        frames = header.frames_in_chunk(index, self._samples)
        offset = self._source.offset
        size = _chunk_bytes(header, frames)
        data = self._source.peek(size)
        if len(data) < size:
            self._check_codes_bytes(offset - self._start + len(data))
        self._source.skip(size)
        self._next += 1
        scale = None
        if header.has_scale:
            scale = float(struct.unpack(">f", data[:4])[0])
            data = data[4:]
            if not 0.0 < scale < float("inf"):
                reason = f"scale {scale} is not a positive number"
                self.problems.append(f"{place(header, index, offset)}: {reason}")
                return DamagedChunk(index, frames, reason)
        # Meta's program does not look at the fill bits, so they do not make the codes unreadable.
        if has_fill_bits(data, header.bits, rows=1, columns=frames * header.codebooks):
            self.problems.append(f"{place(header, index, offset)}: fill bits are not zero")
        codes = unpack_time_major(data, header.bits, codebooks=header.codebooks, frames=frames)
        return CodeChunk(codes, scale)

    def _offset_of(self, chunk: int) -> int:
        full = min(chunk, max(0, self._chunks - 2))
        return (
            self._start
            + full * _chunk_bytes(self.header, self.header.chunk_frames)
            + sum(
                _chunk_bytes(self.header, self.header.frames_in_chunk(short, self._samples))
                for short in range(full, chunk)
            )
        )

    def _check_codes_bytes(self, found: int, *, at_least: bool = False) -> None:
        expected = self._codes_bytes
        if found < expected:
            raise ContainerError(
                f"truncated: {self._samples} samples take {expected} bytes of codes, but "
                f"{expected - found} of them are missing"
            )
        if found > expected:
            raise ContainerError(
                f"{self._samples} samples take {expected} bytes of codes, but "
                f"{'at least ' if at_least else ''}{found - expected} more follow "
                f"(byte {self._start + expected}); something was appended, or another program "
                "wrote codes of its own kind"
            )


class V0Writer:
    """Writes format 0; see `EcdcWriter`.

    The number of samples stands in front, so codes wait in memory until `finish` unless the
    header knows it already.
    """

    def __init__(self, sink: ByteSink, header: Header, model: CodeModel | None) -> None:
        self._sink = sink
        self._header = header
        self._tally = ChunkTally(header)
        self._packer: _Packer = _RawPacker(header.bits)
        if header.lm:
            if model is None:
                raise ContainerError("header: lm codes cannot be written without their model")
            self._packer = LmPacker(header, model)
        self._waiting: io.BytesIO | None = None
        if header.num_samples is None:
            self._waiting = io.BytesIO()
        else:
            sink.write(v0_prefix(header, header.num_samples, header.source_num_samples))

    def write(self, chunk: CodeChunk) -> None:
        """Append a chunk."""
        self._tally.check(chunk)
        data = self._packer.pack(chunk)
        self._tally.add(chunk.frames)
        self._put(data)

    def finish(self, num_samples: int, source_num_samples: int | None) -> None:
        """Complete the file; `source_num_samples` is kept only by headers that keep the source."""
        self._tally.check_end(num_samples)
        self._put(self._packer.finish())
        if self._waiting is not None:
            self._sink.write(v0_prefix(self._header, num_samples, source_num_samples))
            self._sink.write(self._waiting.getvalue())

    def _put(self, data: bytes) -> None:
        if self._waiting is not None:
            self._waiting.write(data)
        else:
            self._sink.write(data)


class _Packer(Protocol):
    """Turns chunks into bytes."""

    def pack(self, chunk: CodeChunk) -> bytes: ...

    def finish(self) -> bytes: ...


class _RawPacker:
    def __init__(self, bits: int) -> None:
        self._bits = bits

    def pack(self, chunk: CodeChunk) -> bytes:
        scale = b"" if chunk.scale is None else pack_scale(chunk.scale)
        return scale + pack_time_major(chunk.codes, self._bits)

    def finish(self) -> bytes:
        return b""


def _chunk_bytes(header: Header, frames: int) -> int:
    return 4 * header.has_scale + packed_bytes(frames * header.codebooks, header.bits)
