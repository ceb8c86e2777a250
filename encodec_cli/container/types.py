"""What readers hand out besides codes, and the shape both versions' readers share."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from encodec_cli.container.codes import CodeChunk
from encodec_cli.container.header import Header

__all__ = ["Chunk", "ChunkIndex", "ChunkSource", "DamagedChunk", "Reader", "Writer", "place"]


@dataclass(frozen=True)
class DamagedChunk:
    """Stands where a chunk's codes could not be read.

    Attributes:
        index: chunk number, from 0.
        frames: how many frames are missing.
        reason: what is wrong with it, a few words.
    """

    index: int
    frames: int
    reason: str


Chunk = CodeChunk | DamagedChunk


@dataclass(frozen=True, eq=False)
class ChunkIndex:
    """Where the chunks of a seekable file lie.

    Attributes:
        offsets: int64 [chunks + 1], byte position of each chunk in the file; the last entry is
            the end of the last chunk.
        num_samples: per channel at the model's rate.
        source_num_samples: per channel at the source's rate, or None if not kept.
    """

    offsets: NDArray[np.int64]
    num_samples: int
    source_num_samples: int | None

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return len(self.offsets) - 1


class Reader(Protocol):
    """A reader of one format version; `EcdcReader` documents the members."""

    header: Header
    problems: list[str]

    @property
    def num_samples(self) -> int | None: ...

    @property
    def source_num_samples(self) -> int | None: ...

    @property
    def index(self) -> ChunkIndex | None: ...

    @property
    def offset(self) -> int: ...

    def __iter__(self) -> Iterator[Chunk]: ...

    def __next__(self) -> Chunk: ...

    def seek(self, chunk: int) -> None: ...


class ChunkSource(Protocol):
    """Codes in file order, from a file, a pipe or memory; `EcdcReader` documents the members."""

    header: Header
    play_rate: int

    @property
    def num_samples(self) -> int | None: ...

    @property
    def source_num_samples(self) -> int | None: ...

    @property
    def problems(self) -> list[str]: ...

    @property
    def seekable(self) -> bool: ...

    @property
    def index(self) -> ChunkIndex | None: ...

    def seek(self, chunk: int) -> None: ...

    def __iter__(self) -> Iterator[Chunk]: ...


class Writer(Protocol):
    """A writer of one format version; `EcdcWriter` documents the members."""

    def write(self, chunk: CodeChunk) -> None: ...

    def finish(self, num_samples: int, source_num_samples: int | None) -> None: ...


def place(header: Header, chunk: int, offset: int) -> str:
    """How messages name a chunk: number, time, byte."""
    return f"chunk {chunk} at {header.chunk_seconds(chunk):.2f} s (byte {offset})"
