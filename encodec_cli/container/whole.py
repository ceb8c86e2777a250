"""A whole `.ecdc` file in memory."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from encodec_cli.container.codes import CodeChunk
from encodec_cli.container.header import Header
from encodec_cli.container.payload import ChunkCoder
from encodec_cli.container.reader import EcdcReader
from encodec_cli.container.types import DamagedChunk
from encodec_cli.container.writer import EcdcWriter
from encodec_cli.entropy import CodeModel
from encodec_cli.errors import ContainerError
from encodec_cli.io.files import atomic_output

__all__ = ["Ecdc", "MemorySource", "read_ecdc", "write_ecdc"]


@dataclass(frozen=True, eq=False)
class Ecdc:
    """A whole `.ecdc` file in memory.

    Attributes:
        header: its `num_samples` is known.
        codes: uint16 [K, T], the frames of all chunks one after the other.
        scales: float32 [chunks], or None for models without.
    """

    header: Header
    codes: NDArray[np.uint16]
    scales: NDArray[np.float32] | None = None

    def chunks(self, start: int = 0) -> Iterator[CodeChunk]:
        """The chunks from number `start` on.

        Raises:
            ContainerError: codes, scales and header do not fit together.
        """
        header = self.header
        if header.num_samples is None:
            raise ContainerError("header: num_samples must be given for a whole file")
        count = header.chunk_count(header.num_samples)
        frames = header.frames_before(count, header.num_samples)
        if self.codes.ndim != 2 or self.codes.shape[1] != frames:
            raise ContainerError(
                f"{header.num_samples} samples take {frames} frames, "
                f"got codes {list(self.codes.shape)}"
            )
        if self.scales is not None and self.scales.shape != (count,):
            raise ContainerError(
                f"{count} chunks take {count} scales, got {list(self.scales.shape)}"
            )
        return self._cut(start, count, header.num_samples)

    def _cut(self, start: int, count: int, num_samples: int) -> Iterator[CodeChunk]:
        first = self.header.frames_before(start, num_samples)
        for index in range(start, count):
            end = first + self.header.frames_in_chunk(index, num_samples)
            scale = None if self.scales is None else float(self.scales[index])
            yield CodeChunk(self.codes[:, first:end], scale)
            first = end


class MemorySource:
    """An `Ecdc` as a `ChunkSource`."""

    def __init__(self, ecdc: Ecdc) -> None:
        """Nothing is copied.

        Raises:
            ContainerError: see `Ecdc.chunks`.
        """
        self._ecdc = ecdc
        self._chunks: Iterator[CodeChunk]
        self.header = ecdc.header
        self.play_rate = ecdc.header.sample_rate
        self.num_samples = ecdc.header.num_samples
        self.source_num_samples = ecdc.header.source_num_samples
        self.problems: list[str] = []
        self.seekable = True
        self.index = None
        self.seek(0)

    def seek(self, chunk: int) -> None:
        """Continue the iteration with chunk number `chunk`, counted from 0."""
        self._chunks = self._ecdc.chunks(chunk)

    def __iter__(self) -> Iterator[CodeChunk]:
        return self._chunks


def read_ecdc(
    source: str | PathLike[str] | BinaryIO,
    *,
    lm: CodeModel | None = None,
    coder: ChunkCoder | None = None,
) -> Ecdc:
    """Read a whole file, from a path or a binary file object; `lm`, `coder` as for `EcdcReader`.

    Raises:
        ContainerError: not an `.ecdc` file, or codes are missing or damaged; a path is named.
        OSError: the path cannot be opened.
    """
    if isinstance(source, (str, PathLike)):
        path = Path(source)
        with path.open("rb") as file:
            try:
                return read_ecdc(file, lm=lm, coder=coder)
            except ContainerError as error:
                raise error.about(path) from error
    reader = EcdcReader(source, lm=lm, coder=coder)
    chunks = []
    for chunk in reader:
        if isinstance(chunk, DamagedChunk):
            raise ContainerError(reader.problems[-1])
        chunks.append(chunk)
    header = replace(
        reader.header,
        num_samples=reader.num_samples,
        source_num_samples=reader.source_num_samples,
    )
    codes = np.concatenate([chunk.codes for chunk in chunks], axis=1)
    scales = None
    if header.has_scale:
        scales = np.array([chunk.scale for chunk in chunks], np.float32)
    return Ecdc(header, codes, scales)


def write_ecdc(
    target: str | PathLike[str] | BinaryIO,
    ecdc: Ecdc,
    *,
    force: bool = False,
    lm: CodeModel | None = None,
    coder: ChunkCoder | None = None,
) -> None:
    """Write a whole file, to a path (complete or not at all) or to a binary file object.

    Args:
        target: where to.
        ecdc: `header.num_samples` must be given and match the codes.
        force: overwrite an existing path.
        lm: the language model, for headers that say `lm`.
        coder: the code model, for headers that name one; see `EcdcWriter`.

    Raises:
        ContainerError: codes, scales and header do not fit together, or the code model is missing.
        OutputError: the path exists already or cannot be written.
    """
    header = ecdc.header
    if header.num_samples is None:
        raise ContainerError("header: num_samples must be given to write a whole file")
    chunks = list(ecdc.chunks())  # what does not fit is refused before there is a file
    with (
        atomic_output(Path(target), force=force)
        if isinstance(target, (str, PathLike))
        else nullcontext(target)
    ) as file:
        writer = EcdcWriter(file, header, lm=lm, coder=coder, live=False)
        for chunk in chunks:
            writer.write(chunk)
        writer.finish(header.num_samples)
