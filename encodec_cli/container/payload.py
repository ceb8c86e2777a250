"""What chunks hold, by kind: raw codes, or codes that a code model has made smaller.

A kind of chunk is a class here and a line in the table of a version. A payload is the chunk's
scale, if the file has scales, and the codes:

    raw      codebook by codebook, each on its own bytes (see `pack_rows`)
    coded    one run of the code model for all codebooks, zeros behind it where it is very short
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from encodec_cli.container.codes import (
    CodeChunk,
    has_fill_bits,
    pack_rows,
    packed_bytes,
    unpack_rows,
)
from encodec_cli.container.gain import ByteGain, FloatGain, GainField, NoGain
from encodec_cli.container.header import Header
from encodec_cli.container.records import KIND_CODED, KIND_RAW
from encodec_cli.errors import ContainerError

__all__ = [
    "ChunkCoder",
    "CodedPayload",
    "Payload",
    "RawPayload",
    "StoredChunk",
    "payloads_for",
]

_CODES_PER_BYTE = 512


class ChunkCoder(Protocol):
    """What makes codes smaller, exactly, each chunk by itself: a code model.

    The same on every machine; nothing in it is changed by use.
    """

    @property
    def sha256(self) -> str:
        """64 hex digits that name it: equal if and only if it writes the same bytes."""

    @property
    def codebooks(self) -> int:
        """The most codebooks of a chunk."""

    @property
    def bins(self) -> int:
        """Codes are below this."""

    def encode_chunks(self, chunks: Sequence[NDArray[np.uint16]]) -> list[bytes]:
        """The run of each chunk `[K, T]`; many at once take less time than one by one."""

    def decode_chunks(self, runs: Sequence[tuple[bytes, int, int]]) -> list[NDArray[np.uint16]]:
        """Codes `[K, T]` of each run, given with K and T. Zeros behind a run change nothing.

        Damaged runs give some codes, or raise `ContainerError`.
        """


@dataclass(frozen=True)
class StoredChunk:
    """A chunk whose checksum is right.

    Attributes:
        index: chunk number, from 0.
        offset: its first byte in the file.
        kind: of its payload.
        frames: T.
        payload: its bytes.
    """

    index: int
    offset: int
    kind: int
    frames: int
    payload: bytes


class Payload(Protocol):
    """The payloads of one kind in one file."""

    def bounds(self, frames: int) -> tuple[int, int]:
        """Least and most bytes of the payload of so many frames."""

    def problem(self, frames: int, payload: bytes) -> str | None:
        """What is wrong with an intact payload of a possible size, as far as is seen quickly."""

    def pack(self, chunks: Sequence[CodeChunk]) -> list[bytes]:
        """The payload of each chunk.

        Raises:
            ContainerError: codes or a scale out of range.
        """

    def unpack(self, stored: Sequence[StoredChunk]) -> list[CodeChunk | str]:
        """The chunk in each payload that has no `problem`, or what is wrong with it."""


class RawPayload:
    """Every code in the same number of bits."""

    def __init__(self, header: Header, gain: GainField) -> None:
        self._header = header
        self._gain = gain

    def bounds(self, frames: int) -> tuple[int, int]:
        """Its size is given."""
        header = self._header
        size = self._gain.size + header.codebooks * packed_bytes(frames, header.bits)
        return size, size

    def problem(self, frames: int, payload: bytes) -> str | None:
        """The scale, and fill bits."""
        header, codes = self._header, payload[self._gain.size :]
        found = self._gain.problem(payload)
        if found is None and has_fill_bits(
            codes, header.bits, rows=header.codebooks, columns=frames
        ):
            return "fill bits are not zero"
        return found

    def pack(self, chunks: Sequence[CodeChunk]) -> list[bytes]:
        """See `Payload.pack`."""
        bits = self._header.bits
        return [self._gain.pack(chunk.scale) + pack_rows(chunk.codes, bits) for chunk in chunks]

    def unpack(self, stored: Sequence[StoredChunk]) -> list[CodeChunk | str]:
        """See `Payload.unpack`."""
        return [self._unpack(chunk.frames, chunk.payload) for chunk in stored]

    def _unpack(self, frames: int, payload: bytes) -> CodeChunk:
        header, packed = self._header, payload[self._gain.size :]
        codes = unpack_rows(packed, header.bits, codebooks=header.codebooks, frames=frames)
        return CodeChunk(codes, self._gain.unpack(payload))


class CodedPayload:
    """Codes by `coder`.

    A run has at least a byte for 512 codes, filled up with zeros, so a file asks for no more work
    than its bytes justify.
    """

    def __init__(
        self, header: Header, gain: GainField, coder: ChunkCoder | None, *, prove: bool
    ) -> None:
        """Without `coder` payloads can be checked, but neither packed nor unpacked.

        With `prove`, chunks count as damaged whose codes do not give their bytes again.
        """
        self._header = header
        self._gain = gain
        self._coder = coder
        self._prove = prove
        self._raw = RawPayload(header, gain)

    def bounds(self, frames: int) -> tuple[int, int]:
        """Always smaller than raw codes, where those have room for it."""
        least = self._gain.size + self._least_run(frames)
        return least, max(least, self._raw.bounds(frames)[1] - 1)

    def problem(self, frames: int, payload: bytes) -> str | None:
        """The scale; of a run, nothing can be said."""
        if self._header.code_model is None:
            return "is entropy-coded, but the header names no code model"
        return self._gain.problem(payload)

    def pack(self, chunks: Sequence[CodeChunk]) -> list[bytes]:
        """See `Payload.pack`; a payload may turn out larger than `bounds` allows."""
        assert self._coder is not None
        runs = self._coder.encode_chunks([chunk.codes for chunk in chunks])
        return [
            self._gain.pack(chunk.scale) + run.ljust(self._least_run(chunk.frames), b"\0")
            for chunk, run in zip(chunks, runs, strict=True)
        ]

    def unpack(self, stored: Sequence[StoredChunk]) -> list[CodeChunk | str]:
        """See `Payload.unpack`."""
        try:
            return list(self._unpack(stored))
        except ContainerError as error:
            if len(stored) == 1:
                return [str(error)]
            return [found for chunk in stored for found in self.unpack([chunk])]

    def _unpack(self, stored: Sequence[StoredChunk]) -> list[CodeChunk | str]:
        assert self._coder is not None
        books, size = self._header.codebooks, self._gain.size
        runs = [(chunk.payload[size:], books, chunk.frames) for chunk in stored]
        codes = self._coder.decode_chunks(runs)
        found: list[CodeChunk | str] = [
            CodeChunk(each, self._gain.unpack(chunk.payload))
            for each, chunk in zip(codes, stored, strict=True)
        ]
        if self._prove:
            again = self.pack([chunk for chunk in found if isinstance(chunk, CodeChunk)])
            for i, (chunk, payload) in enumerate(zip(stored, again, strict=True)):
                if chunk.payload != payload:
                    found[i] = "does not decode to codes that give its bytes again"
        return found

    def _least_run(self, frames: int) -> int:
        return -(-self._header.codebooks * frames // _CODES_PER_BYTE)


def payloads_for(
    header: Header, coder: ChunkCoder | None = None, *, prove: bool = False
) -> Mapping[int, Payload]:
    """The kinds of chunks that a file of `header` may have; for `prove` see `CodedPayload`."""
    gain: GainField = NoGain()
    if header.has_scale:
        gain = ByteGain() if header.version > 1 and header.segment is None else FloatGain()
    raw = RawPayload(header, gain)
    if header.version == 1:
        return {KIND_RAW: raw}
    return {KIND_RAW: raw, KIND_CODED: CodedPayload(header, gain, coder, prove=prove)}
