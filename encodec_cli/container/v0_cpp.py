"""Files of encodec.cpp: format 0's header, then all codes of book 0, of book 1, ... in one bit run.

Every book begins at bit T * 10 * k, seldom on a byte, so the codes are read whole and sliced.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from encodec_cli.container.codes import CodeChunk, packed_bytes, unpack_bits
from encodec_cli.container.types import ChunkIndex, DamagedChunk
from encodec_cli.container.v0_head import V0Head
from encodec_cli.container.wire import ByteSource
from encodec_cli.errors import ContainerError

__all__ = ["CppReader"]

_MOST_BYTES = 64 << 20


class CppReader:
    """Iterates over such a file in chunks of about a second; see `EcdcReader`."""

    def __init__(self, source: ByteSource, head: V0Head) -> None:
        self._source = source
        self.header = header = head.header
        if header.segment is not None:
            raise ContainerError(f"encodec.cpp codes encodec_24khz only, not {header.model}")
        self._samples = header.num_samples or 0
        self.num_samples: int | None = self._samples
        self.source_num_samples: int | None = None
        self.problems: list[str] = []
        self._chunks = header.chunk_count(self._samples)
        self._next = 0
        self._frames = header.frames_before(self._chunks, self._samples)
        size = packed_bytes(self._frames * header.codebooks, header.bits)
        if size > _MOST_BYTES:
            raise ContainerError(
                f"{self._samples} samples take {size} bytes of codes; encodec.cpp files are read "
                f"whole, up to {_MOST_BYTES} bytes"
            )
        self._codes = source.peek(size + 1)
        if len(self._codes) != size:
            much = "more" if len(self._codes) > size else f"only {len(self._codes)}"
            raise ContainerError(
                f"{self._samples} samples take {size} bytes of codes, but there are {much}; "
                "the file is truncated or not one of encodec.cpp"
            )
        source.skip(size)

    @property
    def offset(self) -> int:
        """Bytes consumed so far."""
        return self._source.offset

    @property
    def index(self) -> ChunkIndex | None:
        """None: a chunk's codes lie all over the file."""
        return None

    def seek(self, chunk: int) -> None:
        """Continue with chunk number `chunk`."""
        if not 0 <= chunk < self._chunks:
            raise ContainerError(f"cannot seek to chunk {chunk}: the file has {self._chunks}")
        self._next = chunk

    def __iter__(self) -> Iterator[CodeChunk | DamagedChunk]:
        return self

    def __next__(self) -> CodeChunk | DamagedChunk:
        if self._next == self._chunks:
            raise StopIteration
        header = self.header
        first = self._next * header.chunk_frames
        count = header.frames_in_chunk(self._next, self._samples)
        self._next += 1
        return CodeChunk(np.stack([self._row(k, first, count) for k in range(header.codebooks)]))

    def _row(self, book: int, first: int, count: int) -> NDArray[np.uint16]:
        """Codes `[count]` of `book` from frame `first` on."""
        return unpack_bits(
            self._codes, self.header.bits, first=book * self._frames + first, count=count
        )
