"""Writing `.ecdc` files of any version, chunk by chunk.

    CodeChunk, CodeChunk, ... ---- EcdcWriter ----> file

Of formats 1 and 2 every chunk is on its way as soon as it is given, unless a code model is at work
and nobody waits for them: then some are held, to be coded side by side.
"""

from array import array
from collections.abc import Mapping, Sequence
from typing import BinaryIO

from encodec_cli.container import v1_records, v2_header
from encodec_cli.container.coders import check_coder, require_coder
from encodec_cli.container.codes import CodeChunk
from encodec_cli.container.header import Header
from encodec_cli.container.payload import ChunkCoder, Payload, payloads_for
from encodec_cli.container.records import KIND_CODED, KIND_END, KIND_RAW, Framing, end_payload
from encodec_cli.container.tally import ChunkTally
from encodec_cli.container.types import Writer
from encodec_cli.container.v0 import V0Writer
from encodec_cli.container.v1_records import V1Framing
from encodec_cli.container.v2_framing import V2Framing
from encodec_cli.container.wire import ByteSink, varint
from encodec_cli.entropy import CodeModel
from encodec_cli.errors import ContainerError

__all__ = ["ChunkedWriter", "EcdcWriter"]

_LANES = 32
"""Chunks that are coded together."""
_FINISHED = "the file is finished; start a new one"


class EcdcWriter:
    """Writes an `.ecdc` file or pipe chunk by chunk; `finish` must be called.

    Every chunk has `header.chunk_frames` frames; only the last one may have fewer (of a segment
    model, the last two). Formats 1 and 2 pass every chunk on at once. Format 0 has to hold the
    codes back until `finish` unless `header.num_samples` is given.
    """

    def __init__(
        self,
        file: BinaryIO,
        header: Header,
        *,
        lm: CodeModel | None = None,
        coder: ChunkCoder | None = None,
        live: bool = True,
    ) -> None:
        """Start a file in the binary `file`, which stays open afterwards.

        Args:
            file: where to write.
            header: what to say in front.
            lm: the language model, for headers that say `lm`.
            coder: the code model, for headers that name one; unless given, it is looked for among
                those of the package.
            live: pass every chunk on at once. Otherwise up to 32 are held where a code model is
                used, which is faster for many together; the bytes are the same.

        Raises:
            ContainerError: the header's tags exceed 64 KiB, or it needs a language model, or a
                code model that is not there.
        """
        self._header = header
        self._sink = ByteSink(file)
        self._finished = False
        self._writer: Writer
        if header.version == 0:
            self._writer = V0Writer(self._sink, header, lm)
            return
        if header.code_model is not None:
            coder = check_coder(header, coder or require_coder(header))
        payloads = payloads_for(header, coder)
        build = v1_records.build_header if header.version == 1 else v2_header.build_header
        framing = V1Framing if header.version == 1 else V2Framing
        self._sink.write(build(header))
        lanes = 1 if live else _LANES
        self._writer = ChunkedWriter(self._sink, header, framing(header, payloads), payloads, lanes)

    @property
    def bytes(self) -> int:
        """Of the file, written so far."""
        return self._sink.bytes

    def write(self, chunk: CodeChunk) -> None:
        """Append a chunk.

        Raises:
            ContainerError: a chunk that does not fit the header or may not stand here, a code
                out of range, or a finished file. Nothing is written then.
        """
        if self._finished:
            raise ContainerError(_FINISHED)
        self._writer.write(chunk)

    def cost(self, chunks: Sequence[CodeChunk]) -> int:
        """Bytes that the file would grow by with these chunks, their places in the index included.

        Raises:
            ContainerError: format 0; see `write`.
        """
        if not isinstance(self._writer, ChunkedWriter):
            raise ContainerError("format 0 has no chunks, whose bytes could be counted")
        return self._writer.cost(chunks)

    def finish(self, num_samples: int, source_num_samples: int | None = None) -> None:
        """Complete the file.

        Args:
            num_samples: per channel at the model's rate, at least 1. It fixes the number of
                frames, see `Header`.
            source_num_samples: per channel at the source's rate; format 0 has no place for it.

        Raises:
            ContainerError: the chunks do not add up to `num_samples`, the header said otherwise,
                or the file is finished already.
        """
        if self._finished:
            raise ContainerError(_FINISHED)
        if num_samples < 1:
            raise ContainerError("there is no audio to store: 0 samples")
        header = self._header
        if header.num_samples not in (None, num_samples):
            raise ContainerError(
                f"the header says {header.num_samples} samples, but there are {num_samples}"
            )
        if header.source_num_samples is not None:
            if source_num_samples not in (None, header.source_num_samples):
                raise ContainerError(
                    f"the header says {header.source_num_samples} source samples, "
                    f"but there are {source_num_samples}"
                )
            source_num_samples = header.source_num_samples
        self._writer.finish(num_samples, source_num_samples)
        self._finished = True


class ChunkedWriter:
    """Writes records to a file or pipe; see `EcdcWriter`."""

    def __init__(
        self,
        sink: ByteSink,
        header: Header,
        framing: Framing,
        payloads: Mapping[int, Payload],
        lanes: int,
    ) -> None:
        """`sink` has the header. Up to `lanes` chunks are held to be coded together."""
        self._sink = sink
        self._framing = framing
        self._raw = payloads[KIND_RAW]
        self._coded = None if header.code_model is None else payloads[KIND_CODED]
        self._lanes = 1 if self._coded is None else lanes
        self._tally = ChunkTally(header)
        self._sizes = array("I")
        self._held: list[tuple[CodeChunk, bytes]] = []  # with their raw payloads

    def write(self, chunk: CodeChunk) -> None:
        """Append a chunk."""
        self._tally.check(chunk)
        [raw] = self._raw.pack([chunk])
        self._tally.add(chunk.frames)
        self._held.append((chunk, raw))
        if len(self._held) >= self._lanes:
            self._send_held()

    def finish(self, num_samples: int, source_num_samples: int | None) -> None:
        """Append the end record and the tail."""
        self._tally.check_end(num_samples)
        self._send_held()
        payload = end_payload(num_samples, source_num_samples, self._sizes)
        end = self._framing.record(KIND_END, 0, payload, len(self._sizes))
        self._sink.write(end + self._framing.tail(len(end)))

    def cost(self, chunks: Sequence[CodeChunk]) -> int:
        """See `EcdcWriter.cost`."""
        records = self._records([(chunk, self._raw.pack([chunk])[0]) for chunk in chunks])
        return sum(len(record) + len(varint(len(record))) for record in records)

    def _send_held(self) -> None:
        held, self._held = self._held, []
        for record in self._records(held):
            self._sizes.append(len(record))
            self._sink.write(record)

    def _records(self, chunks: Sequence[tuple[CodeChunk, bytes]]) -> list[bytes]:
        """The records of the next chunks, each in the kind that takes fewer bytes."""
        coded = [raw for _, raw in chunks]
        if self._coded is not None:
            coded = self._coded.pack([chunk for chunk, _ in chunks])
        records: list[bytes] = []
        for (chunk, raw), smaller in zip(chunks, coded, strict=True):
            kind, payload = (KIND_CODED, smaller) if len(smaller) < len(raw) else (KIND_RAW, raw)
            index = len(self._sizes) + len(records)
            records.append(self._framing.record(kind, chunk.frames, payload, index))
        return records
