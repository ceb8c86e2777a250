"""Format 1 as bytes: header, heads, tail. docs/ecdc.md draws all of it.

header   'ECDC' 01 | u32 JSON bytes | JSON | u32 CRC-32 of everything before
record   u8 kind | varint frames | varint payload bytes | payload | u32 CRC-32
tail     u32 bytes of the end record | 'CEND'
"""

import json
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cached_property
from typing import Any

from encodec_cli.container.checksum import CRC_BYTES, seal
from encodec_cli.container.header import Header
from encodec_cli.container.payload import Payload
from encodec_cli.container.records import KIND_END, KIND_RAW, Head
from encodec_cli.container.sniff import MAGIC, MAX_JSON_BYTES, PREFIX_BYTES
from encodec_cli.container.wire import ByteSource, parse_varint, varint
from encodec_cli.errors import ContainerError

__all__ = ["V1Framing", "build_header", "read_header"]

_CLOSING_MAGIC = b"CEND"
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
_START = re.compile(rb"\x01|\x00(?=\x00[\x04-\xff])")


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


class V1Framing:
    """See `Framing`."""

    head_bytes = 8
    tail_bytes = 8

    def __init__(self, header: Header, payloads: Mapping[int, Payload]) -> None:
        self._header = header
        self._raw = payloads[KIND_RAW]

    def parse_head(self, data: bytes) -> Head | None:
        """See `Framing.parse_head`."""
        frames = parse_varint(data, 1)
        payload = None if frames is None else parse_varint(data, frames[1])
        if frames is None or payload is None:
            return None
        return Head(data[0], frames[0], payload[0], payload[1])

    def record(self, kind: int, frames: int, payload: bytes, index: int) -> bytes:
        """See `Framing.record`."""
        return seal(bytes([kind]) + varint(frames) + varint(len(payload)) + payload, index)

    def tail(self, end_bytes: int) -> bytes:
        """See `Framing.tail`."""
        return struct.pack(">I", end_bytes) + _CLOSING_MAGIC

    def end_bytes(self, tail: bytes) -> int | None:
        """See `Framing.end_bytes`."""
        if len(tail) < self.tail_bytes or not tail.endswith(_CLOSING_MAGIC):
            return None
        return int.from_bytes(tail[:4], "big")

    def candidates(self, window: bytes) -> Iterator[int]:
        """See `Framing.candidates`: heads of raw chunks are few."""
        for match in _START.finditer(window[: 3 - self.head_bytes]):
            near = window[match.start() : match.start() + 3]
            if near[0] == KIND_END or near in self._raw_starts:
                yield match.start()

    @cached_property
    def _raw_starts(self) -> frozenset[bytes]:
        """First three bytes of every raw record that the header allows."""
        heads = (
            bytes([KIND_RAW]) + varint(frames) + varint(self._raw.bounds(frames)[0])
            for frames in range(1, self._header.chunk_frames + 1)
        )
        return frozenset(head[:3] for head in heads)
