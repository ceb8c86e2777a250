"""Reading `.ecdc` files of any version, chunk by chunk.

file ---- EcdcReader ----> CodeChunk, CodeChunk, DamagedChunk, ...
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from encodec_cli.container import v1_records, v2_header
from encodec_cli.container.chunked_reader import ChunkedReader
from encodec_cli.container.coders import check_coder, require_coder
from encodec_cli.container.header import Header
from encodec_cli.container.payload import ChunkCoder, StoredChunk
from encodec_cli.container.sniff import read_prefix
from encodec_cli.container.types import Chunk, ChunkIndex, Reader
from encodec_cli.container.v0 import V0Reader
from encodec_cli.container.v0_cpp import CppReader
from encodec_cli.container.v0_head import Legacy, read_v0_head
from encodec_cli.container.v0_lm import V0LmReader
from encodec_cli.container.v1_records import V1Framing
from encodec_cli.container.v2_framing import V2Framing
from encodec_cli.container.wire import ByteSource
from encodec_cli.entropy import CodeModel
from encodec_cli.errors import ContainerError, parameter

__all__ = ["EcdcReader"]


class EcdcReader:
    """Reads the chunks of an `.ecdc` file or pipe once, in order, in constant memory.

    Iterating gives a `CodeChunk` for every chunk, or a `DamagedChunk` in its place. An error that
    affects the file as a whole (truncated, end mark damaged, bytes appended) is raised after the
    last chunk that can be read, so a caller that catches it has everything there is.

    Attributes:
        header: what the file says about itself.
        play_rate: Hz at which decoded samples are to be played: the model's rate, but for files
            of Encodec-Stream.
        coder: the code model for the chunks; None until it is needed, unless it was given.

    Raises:
        ContainerError: from the constructor if the file is not an `.ecdc` file that this version
            reads; the message names what it is instead.
    """

    def __init__(
        self,
        file: BinaryIO,
        *,
        lm: CodeModel | None = None,
        legacy: Legacy | None = None,
        coder: ChunkCoder | None = None,
        code_models: Sequence[Path] = (),
        prove: bool = False,
    ) -> None:
        """Read the header from where the binary `file` stands; it stays open afterwards.

        Args:
            file: where to read.
            lm: the language model for files that need one; without it they open, but have no
                codes to iterate over.
            legacy: the program that wrote the file, if its layout differs from format 0.
            coder: the code model for files that name one; unless given, it is looked for when
                the first chunk is asked for.
            code_models: files to look for it in, before those of the package.
            prove: code the codes of a code model again, and call chunks damaged where that does
                not give their bytes.
        """
        self.coder = coder
        self._code_models = code_models
        self._source = source = ByteSource(file)
        version, json_bytes = read_prefix(source, legacy)
        self._reader: Reader
        self.warnings: tuple[str, ...] = ()
        self.play_rate: int
        if version == 0:
            head = read_v0_head(source, json_bytes, legacy)
            self.warnings, self.play_rate = head.warnings, head.play_rate
            if head.header.lm:
                self._reader = V0LmReader(source, head, lm)
            elif legacy == "encodec-cpp":
                self._reader = CppReader(source, head)
            else:
                self._reader = V0Reader(source, head)
        else:
            if legacy is not None:
                raise ContainerError(
                    f"format {version}, not a file of {legacy}; decode it without "
                    f"{parameter('legacy')}"
                )
            header = (
                v1_records.read_header(source, json_bytes)
                if version == 1
                else v2_header.read_header(source)
            )
            framing = V1Framing if version == 1 else V2Framing
            self._reader = ChunkedReader(source, header, framing, self._find_coder, prove=prove)
            self.play_rate = header.sample_rate
        self.header: Header = self._reader.header

    @property
    def num_samples(self) -> int | None:
        """Samples per channel at the model's rate.

        Known at once if the header says it (always in format 0), else after the last chunk.
        """
        return self._reader.num_samples

    @property
    def source_num_samples(self) -> int | None:
        """Samples per channel at the source's rate, known like `num_samples`, None if not kept."""
        return self._reader.source_num_samples

    @property
    def problems(self) -> list[str]:
        """What is wrong with the chunks read so far, one line each (at most about 1000)."""
        return list(self._reader.problems)

    @property
    def offset(self) -> int:
        """Bytes of the file consumed so far."""
        return self._reader.offset

    @property
    def seekable(self) -> bool:
        """Whether the file has places to go to, as pipes have not."""
        return self._source.seekable

    @property
    def index(self) -> ChunkIndex | None:
        """Where the chunks lie, or None in a pipe or without an intact end mark."""
        return self._reader.index

    def file_bytes(self) -> int:
        """Size of the file; of a pipe, as far as it has been read."""
        size = self._source.size()
        return self._source.offset if size is None else size

    def check_size(self) -> list[str]:
        """Of a file that needs a language model: what its size, read to the end, says is wrong."""
        return self._reader.check_size() if isinstance(self._reader, V0LmReader) else []

    def seek(self, chunk: int) -> None:
        """Continue the iteration with chunk number `chunk`, counted from 0.

        Raises:
            ContainerError: no such chunk, or no index.
        """
        self._reader.seek(chunk)

    def stored(self) -> Iterator[Chunk | StoredChunk]:
        """The chunks still to come as far as checksums tell, without decoding a code model's.

        What is raised, and `problems`, are as in an iteration.
        """
        return self._reader.stored() if isinstance(self._reader, ChunkedReader) else self._reader

    def require_coder(self) -> ChunkCoder | None:
        """The code model that the chunks take, or None if the header names none.

        Raises:
            ContainerError: it is not there, or is another one.
        """
        return None if self.header.code_model is None else self._find_coder(self.header)

    def __iter__(self) -> Iterator[Chunk]:
        return self._reader

    def __next__(self) -> Chunk:
        return next(self._reader)

    def _find_coder(self, header: Header) -> ChunkCoder:
        if self.coder is None:
            self.coder = require_coder(header, self._code_models)
        return check_coder(header, self.coder)
