"""Format 1 as bytes: header, chunk and end records. docs/ecdc.md draws all of it.

    header   'ECDC' 01 | u32 JSON bytes | JSON | u32 CRC-32 of everything before
    record   u8 type | varint frames | varint payload bytes | payload | u32 CRC-32
    tail     u32 bytes of the end record | 'CEND'

The CRC-32 of a record starts from the record's index instead of 0, so a record that is intact but
in the wrong place does not pass.
"""

import json
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encodec_cli.container.codes import (
    CodeChunk,
    has_fill_bits,
    pack_rows,
    packed_bytes,
    unpack_rows,
)
from encodec_cli.container.header import MAX_SAMPLES, Header
from encodec_cli.container.sniff import MAGIC, MAX_JSON_BYTES, PREFIX_BYTES
from encodec_cli.container.wire import (
    ByteSource,
    pack_scale,
    parse_varint,
    parse_varints,
    varint,
)
from encodec_cli.errors import ContainerError

__all__ = [
    "CLOSING_MAGIC",
    "CRC_BYTES",
    "HEAD_BYTES",
    "TYPE_END",
    "TYPE_RAW",
    "EndMark",
    "Head",
    "build_end",
    "build_header",
    "build_raw",
    "build_tail",
    "parse_end",
    "parse_head",
    "parse_raw",
    "raw_payload_bytes",
    "read_header",
    "record_crc",
    "recover_index",
]

TYPE_END = 0
TYPE_RAW = 1
CLOSING_MAGIC = b"CEND"
HEAD_BYTES = 8  # the shortest record, and no head is longer
CRC_BYTES = 4
MAX_RECORD_BYTES = 1 << 24
_KEYS = {
    "model": "m",
    "model_sha256": "h",
    "sample_rate": "r",
    "channels": "c",
    "hop": "p",
    "codebooks": "k",
    "bits": "b",
    "chunk_frames": "f",
    "segment": "g",
    "stride": "s",
    "end_padding": "e",
    "has_scale": "x",
    "source_sample_rate": "sr",
    "source_channels": "sc",
    "num_samples": "n",
    "source_num_samples": "sn",
    "tags": "t",
}
_REQUIRED = ("m", "r", "c", "p", "k", "b", "f")
_POLYNOMIAL = 0xEDB88320  # CRC-32 as zlib has it: bit 31 is x^0, bit 0 is x^31
_FIELD_ORDER = (1 << 32) - 1  # the polynomial is primitive: x^(2^32 - 1) = 1


@dataclass(frozen=True)
class Head:
    """Start of a record.

    Attributes:
        kind: record type.
        frames: frames in the payload; 0 for the end record.
        payload: its bytes.
        start: bytes of the head itself.
    """

    kind: int
    frames: int
    payload: int
    start: int

    @property
    def size(self) -> int:
        """Bytes of the whole record, CRC included."""
        return self.start + self.payload + CRC_BYTES


@dataclass(frozen=True)
class EndMark:
    """What the end record holds.

    Attributes:
        num_samples: per channel at the model's rate.
        source_num_samples: per channel at the source's rate, or None if not kept.
        sizes: bytes of each chunk record, in file order; int64 [chunks].
    """

    num_samples: int
    source_num_samples: int | None
    sizes: NDArray[np.int64]


def build_header(header: Header) -> bytes:
    """Header bytes, checksum included.

    Raises:
        ContainerError: the tags make the JSON longer than 64 KiB.
    """
    content: dict[str, Any] = {}
    for entry in fields(header):
        value = getattr(header, entry.name)
        if entry.name in _KEYS and value not in (None, False, 0, {}):
            content[_KEYS[entry.name]] = value
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    if len(text) > MAX_JSON_BYTES:
        raise ContainerError(f"header takes {len(text)} bytes, at most 65536 fit; shorten the tags")
    start = MAGIC + struct.pack(">BI", 1, len(text)) + text
    return start + struct.pack(">I", zlib.crc32(start))


def read_header(source: ByteSource, json_bytes: int) -> Header:
    """Consume and check the header of a format 1 file.

    Raises:
        ContainerError: truncated, damaged, or written by something that breaks the rules.
    """
    size = PREFIX_BYTES + json_bytes + CRC_BYTES
    data = source.peek(size)
    if len(data) < size:
        raise ContainerError(f"truncated: the file ends after {len(data)} bytes, inside its header")
    (crc,) = struct.unpack(">I", data[-CRC_BYTES:])
    if crc != zlib.crc32(data[:-CRC_BYTES]):
        raise ContainerError(f"header damaged: checksum mismatch (bytes 0 to {size - 1})")
    try:
        content = json.loads(data[PREFIX_BYTES:-CRC_BYTES].decode())
    except (ValueError, RecursionError) as error:
        raise ContainerError("header is not JSON, though its checksum is right") from error
    if not isinstance(content, dict):
        raise ContainerError("header is not a JSON object, though its checksum is right")
    missing = [key for key in _REQUIRED if key not in content]
    if missing:
        raise ContainerError(f"header lacks {', '.join(missing)}, though its checksum is right")
    values = {name: content[key] for name, key in _KEYS.items() if key in content}
    source.skip(size)
    return Header(version=1, **values)


def raw_payload_bytes(header: Header, frames: int) -> int:
    """Payload bytes of a raw record of `frames` frames."""
    return 4 * header.has_scale + header.codebooks * packed_bytes(frames, header.bits)


def build_raw(header: Header, chunk: CodeChunk, index: int) -> bytes:
    """Record of raw codes; `chunk` has the codebooks and the scale that `header` promises.

    Raises:
        ContainerError: a code does not fit in the header's bits, or the scale in a float32.
    """
    scale = b"" if chunk.scale is None else pack_scale(chunk.scale)
    return _record(TYPE_RAW, chunk.frames, scale + pack_rows(chunk.codes, header.bits), index)


def parse_raw(header: Header, frames: int, payload: bytes) -> CodeChunk | str:
    """The chunk in a raw payload of the right size, or what is wrong with it."""
    scale = None
    if header.has_scale:
        scale = float(struct.unpack(">f", payload[:4])[0])
        if not 0.0 < scale < float("inf"):
            return f"scale {scale} is not a positive number"
        payload = payload[4:]
    if has_fill_bits(payload, header.bits, rows=header.codebooks, columns=frames):
        return "fill bits are not zero"
    codes = unpack_rows(payload, header.bits, codebooks=header.codebooks, frames=frames)
    return CodeChunk(codes, scale)


def build_end(num_samples: int, source_num_samples: int | None, sizes: Iterable[int]) -> bytes:
    """End record; `sizes` are the bytes of each chunk record."""
    listed = list(sizes)
    numbers = [num_samples, source_num_samples or 0, len(listed), *listed]
    return _record(TYPE_END, 0, b"".join(map(varint, numbers)), len(listed))


def build_tail(end_bytes: int) -> bytes:
    """What follows an end record of `end_bytes` bytes."""
    return struct.pack(">I", end_bytes) + CLOSING_MAGIC


def parse_end(payload: bytes) -> EndMark | None:
    """Content of an end record, or None if its numbers do not add up."""
    numbers = parse_varints(payload)
    if numbers is None or len(numbers) < 4 or numbers[0] == 0 or numbers[2] != len(numbers) - 3:
        return None
    sizes = numbers[3:]
    if max(numbers[0], numbers[1]) > MAX_SAMPLES or sizes.max() > MAX_RECORD_BYTES:
        return None
    return EndMark(int(numbers[0]), int(numbers[1]) or None, sizes)


def parse_head(data: bytes) -> Head | None:
    """Head at the start of `data`, or None if it is cut short or misspelt."""
    frames = parse_varint(data, 1)
    if frames is None:
        return None
    payload = parse_varint(data, frames[1])
    if payload is None:
        return None
    return Head(data[0], frames[0], payload[0], payload[1])


def record_crc(record: bytes) -> int:
    """The checksum stored at a record's end."""
    return int.from_bytes(record[-CRC_BYTES:], "big")


def recover_index(record: bytes) -> int:
    """The index for which the record's checksum is right.

    A CRC is linear: seeding it with `index` adds index * x^(8 bytes) to what seed 0 gives, and
    dividing that out recovers the index. If the record is damaged, the result is arbitrary, so
    the caller accepts only the few indices that make sense where the record was found.
    """
    body = record[:-CRC_BYTES]
    return _multiply(record_crc(record) ^ zlib.crc32(body), _inverse_power(len(body)))


def _record(kind: int, frames: int, payload: bytes, index: int) -> bytes:
    body = bytes([kind]) + varint(frames) + varint(len(payload)) + payload
    return body + struct.pack(">I", zlib.crc32(body, index))


def _inverse_power(count: int) -> int:
    """x^(-8 * count) modulo the CRC polynomial, in a product for each bit of `count`."""
    result = 1 << 31
    for bit in range(count.bit_length()):
        if count >> bit & 1:
            result = _multiply(result, _inverse_square(bit))
    return result


@cache
def _inverse_square(bit: int) -> int:
    """x^(-8 * 2^bit) modulo the CRC polynomial; records have few sizes of `bit`s."""
    result, square, left = 1 << 31, 1 << 30, (-8 << bit) % _FIELD_ORDER
    while left:
        if left & 1:
            result = _multiply(result, square)
        square = _multiply(square, square)
        left >>= 1
    return result


def _multiply(left: int, right: int) -> int:
    """Product of two polynomials over GF(2) modulo the CRC polynomial."""
    product = 0
    while left:
        if left & 0x80000000:
            product ^= right
        left = left << 1 & 0xFFFFFFFF
        right = right >> 1 ^ (_POLYNOMIAL if right & 1 else 0)
    return product
