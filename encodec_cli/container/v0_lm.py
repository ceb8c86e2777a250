"""Format 0 with Meta's language model: one arithmetic-coder run per segment.

    [scale] | run of segment 0 | [scale] | run of segment 1 | ...

Runs carry no length and no checksum: where one ends is known only once it is decoded. Two things
show that codes went wrong: bits that fit no symbol, and a run that does not end the way encoders
end one. Either may come long after the first wrong frame.
"""

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from encodec_cli.container.codes import CodeChunk
from encodec_cli.container.header import Header
from encodec_cli.container.types import ChunkIndex, DamagedChunk
from encodec_cli.container.v0_head import V0Head
from encodec_cli.container.wire import ByteSource, pack_scale
from encodec_cli.entropy import CodeDecoder, CodeEncoder, CodeModel
from encodec_cli.errors import ContainerError, parameter

__all__ = ["LmPacker", "V0LmReader"]

_LEAST_RUN_BYTES = 3
_MOST_CODE_BITS = 24


class LmPacker:
    """Bytes of chunks, codes compressed with `model`."""

    def __init__(self, header: Header, model: CodeModel) -> None:
        self._header = header
        self._model = model
        self._run = CodeEncoder(model.predictor(header.codebooks))

    def pack(self, chunk: CodeChunk) -> bytes:
        """What can be written after this chunk.

        Raises:
            ContainerError: a code or the scale out of range.
        """
        bits = self._header.bits
        if int(chunk.codes.max()) >> bits:
            raise ContainerError(f"code {int(chunk.codes.max())} does not fit in {bits} bits")
        scale = b"" if chunk.scale is None else pack_scale(chunk.scale)
        data = scale + self._run.push(chunk.codes)
        if self._header.segment is not None:
            data += self._run.finish()
            self._run = CodeEncoder(self._model.predictor(self._header.codebooks))
        return data

    def finish(self) -> bytes:
        """What is left after the last chunk."""
        return b"" if self._header.segment is not None else self._run.finish()


class V0LmReader:
    """Iterates over the chunks of a file whose codes need `model`; see `EcdcReader`.

    Frames before the place where codes end early or fit no symbol are delivered, then the error is
    raised.
    """

    def __init__(self, source: ByteSource, head: V0Head, model: CodeModel | None) -> None:
        self._source = source
        self._model = model
        self.header = head.header
        self._samples = self.header.num_samples or 0
        self.num_samples: int | None = self._samples
        self.source_num_samples = self.header.source_num_samples
        self.problems: list[str] = []
        self._chunks = self.header.chunk_count(self._samples)
        self._next = 0
        self._frame = 0
        self._run: CodeDecoder | None = None
        self._failure: ContainerError | None = None

    @property
    def offset(self) -> int:
        """Bytes consumed so far."""
        return self._source.offset

    @property
    def index(self) -> ChunkIndex | None:
        """None: chunks have no computable position."""
        return None

    def seek(self, chunk: int) -> None:
        """Refused: every code depends on those before it."""
        raise ContainerError(
            f"cannot seek to chunk {chunk}: codes of the language model are read in order"
        )

    def check_size(self) -> list[str]:
        """Hold the size of the codes, read to their end, against what is possible at all."""
        header, start = self.header, self._source.offset
        runs = 1 if header.segment is None else self._chunks
        fixed = 4 * header.has_scale * runs
        codes = header.frames_before(self._chunks, self._samples) * header.codebooks
        least = runs * _LEAST_RUN_BYTES + fixed
        most = runs * _LEAST_RUN_BYTES + fixed + codes * _MOST_CODE_BITS // 8
        size = self._source.size()
        found = self._source.count_rest(most + 1) if size is None else size - start
        if least <= found <= most:
            return []
        word = "truncated: " if found < least else ""
        return [
            f"{word}{self._samples} samples take {least} to {most} bytes of language-model codes, "
            f"but there are {found if size is not None or found <= most else 'more'}"
        ]

    def __iter__(self) -> Iterator[CodeChunk | DamagedChunk]:
        return self

    def __next__(self) -> CodeChunk | DamagedChunk:
        if self._model is None:
            raise ContainerError(
                "the codes are compressed with Meta's language model; give its weights with "
                f"{parameter('lm')}"
            )
        if self._failure is not None:
            raise self._failure
        if self._next == self._chunks:
            rest = len(self._source.peek(1))
            if rest:
                raise self._out_of_step("bytes are left over after the last code")
            raise StopIteration
        frames = self.header.frames_in_chunk(self._next, self._samples)
        done: list[NDArray[np.uint16]] = []
        scale = None
        try:
            if self.header.has_scale:
                scale = self._read_scale()
            if self._run is None or self.header.segment is not None:
                predictor = self._model.predictor(self.header.codebooks)
                self._run = CodeDecoder(predictor, self._next_byte)
            with self._run.at_work():
                for _ in range(frames):
                    done.append(self._run.pull())
                    self._frame += 1
            self._next += 1
            if self.header.segment is not None or self._next == self._chunks:
                self._run.finish()
        except _EndOfFileError:
            self._failure = ContainerError(
                f"truncated: the codes end at frame {self._frame} ({self._seconds():.2f} s) of "
                f"{self.header.frames_before(self._chunks, self._samples)}"
            )
        except ContainerError as error:
            self._failure = self._out_of_step(str(error))
        if self._failure is not None and not done:
            raise self._failure
        return CodeChunk(np.stack(done, axis=1), scale)

    def _read_scale(self) -> float:
        data = self._source.peek(4)
        if len(data) < 4:
            raise _EndOfFileError("the file ends")
        scale = float(struct.unpack(">f", data)[0])
        if not 0.0 < scale < float("inf"):
            raise ContainerError(f"scale {scale} is not a positive number")
        self._source.skip(4)
        return scale

    def _next_byte(self) -> int:
        byte = self._source.byte()
        if byte is None:
            raise _EndOfFileError("the file ends")
        return byte

    def _seconds(self) -> float:
        if self.header.segment is None:
            return self._frame / self.header.frame_rate
        return self.header.chunk_seconds(self._next)

    def _out_of_step(self, reason: str) -> ContainerError:
        return ContainerError(
            f"out of step with the encoder before {self._seconds():.2f} s (byte {self.offset}): "
            f"{reason}; other weights, another kind of machine, or damage"
        )


class _EndOfFileError(ContainerError):
    """The file ends inside a run."""
