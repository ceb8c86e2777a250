"""Writing formats 1 and 2: chunks to records, an end record behind them.

Every chunk is on its way as soon as it is given, unless a code model is at work and nobody waits
for them: then some are held, to be coded side by side.
"""

from array import array
from collections.abc import Mapping, Sequence
from typing import BinaryIO

from encodec_cli.container.codes import CodeChunk
from encodec_cli.container.header import Header
from encodec_cli.container.payload import Payload
from encodec_cli.container.records import KIND_CODED, KIND_END, KIND_RAW, Framing, end_payload
from encodec_cli.container.tally import ChunkTally
from encodec_cli.container.wire import varint, write_all

__all__ = ["LANES", "ChunkedWriter"]

LANES = 32
"""Chunks that are coded together."""


class ChunkedWriter:
    """Writes records to a file or pipe; see `EcdcWriter`."""

    def __init__(
        self,
        file: BinaryIO,
        header: Header,
        framing: Framing,
        payloads: Mapping[int, Payload],
        *,
        lanes: int,
    ) -> None:
        """`file` holds the header. Up to `lanes` chunks are held to be coded together."""
        self._file = file
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
        self._send(end + self._framing.tail(len(end)))

    def cost(self, chunks: Sequence[CodeChunk]) -> int:
        """See `EcdcWriter.cost`."""
        records = self._records([(chunk, self._raw.pack([chunk])[0]) for chunk in chunks])
        return sum(len(record) + len(varint(len(record))) for record in records)

    def _send_held(self) -> None:
        held, self._held = self._held, []
        for record in self._records(held):
            self._sizes.append(len(record))
            self._send(record)

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

    def _send(self, data: bytes) -> None:
        write_all(self._file, data)
        # A listener at the other end hears the chunk now, and a crash loses nothing before it.
        self._file.flush()
