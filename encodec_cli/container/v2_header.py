"""The header of format 2: everything before the first chunk, in about 35 bytes.

    'ECDC' 02 | varint bytes of the body | body | u32 CRC-32 of everything before

The body is a list of fields; a bit of the first one, the flags, says of each of some others
whether it is there. What a known model's name implies is left out: see `KNOWN_MODELS`.
"""

import zlib
from dataclasses import dataclass
from typing import Any

from encodec_cli.container.checksum import CRC_BYTES, seal
from encodec_cli.container.header import Header
from encodec_cli.container.known_models import KNOWN_MODELS
from encodec_cli.container.sniff import MAGIC
from encodec_cli.container.wire import ByteSource, parse_varint, varint
from encodec_cli.errors import ContainerError

__all__ = ["build_header", "read_header"]

_START = MAGIC + b"\x02"
_MOST_BODY = 1 << 16
_HASH_BYTES = 8
_LONGEST_LENGTH = 3  # bytes of a varint up to _MOST_BODY
_HAS_SCALE, _HAS_SHA256, _HAS_CODE_MODEL, _HAS_SOURCE, _HAS_SAMPLES, _HAS_SOURCE_SAMPLES = (
    1 << bit for bit in range(6)
)
_HAS_TAGS = 1 << 6
_KNOWN_FLAGS = (1 << 7) - 1
_IMPLIED = ("sample_rate", "channels", "hop", "bits", "segment", "stride", "end_padding")
_OPTIONAL = ("segment", "stride")


def build_header(header: Header) -> bytes:
    """Header bytes, checksum included.

    Raises:
        ContainerError: the tags make the body longer than 64 KiB.
    """
    source = (header.source_sample_rate or 0, header.source_channels or 0)
    flags = (
        header.has_scale * _HAS_SCALE
        | (header.model_sha256 is not None) * _HAS_SHA256
        | (header.code_model is not None) * _HAS_CODE_MODEL
        | (source != (0, 0)) * _HAS_SOURCE
        | (header.num_samples is not None) * _HAS_SAMPLES
        | (header.source_num_samples is not None) * _HAS_SOURCE_SAMPLES
        | bool(header.tags) * _HAS_TAGS
    )
    body = varint(flags) + _model(header) + _hash(header.model_sha256) + _hash(header.code_model)
    body += varint(header.codebooks) + varint(header.chunk_frames)
    if source != (0, 0):
        body += varint(source[0]) + varint(source[1])
    for samples in (header.num_samples, header.source_num_samples):
        body += b"" if samples is None else varint(samples)
    if header.tags:
        body += varint(len(header.tags))
        body += b"".join(_text(name) + _text(text) for name, text in header.tags.items())
    if len(body) > _MOST_BODY:
        raise ContainerError(
            f"header takes {len(body)} bytes, at most {_MOST_BODY} fit; shorten the tags"
        )
    return seal(_START + varint(len(body)) + body, 0)


def read_header(source: ByteSource) -> Header:
    """Consume and check the header of a format 2 file.

    Raises:
        ContainerError: truncated, damaged, made by a newer version, or by something that breaks
            the rules.
    """
    length = None
    for size in range(1, _LONGEST_LENGTH + 1):  # a pipe may hold no more than is read here
        length = length or parse_varint(source.peek(len(_START) + size), len(_START))
    if length is None or length[0] > _MOST_BODY:
        what = source.peek(len(_START) + _LONGEST_LENGTH)
        if len(what) < len(_START) + _LONGEST_LENGTH:
            raise _truncated(what)
        raise ContainerError("header damaged: its length (byte 5) is not possible")
    bytes_of_body, begin = length
    size = begin + bytes_of_body + CRC_BYTES
    data = source.peek(size)
    if len(data) < size:
        raise _truncated(data)
    if int.from_bytes(data[-CRC_BYTES:], "big") != zlib.crc32(data[:-CRC_BYTES]):
        raise ContainerError(f"header damaged: checksum mismatch (bytes 0 to {size - 1})")
    header = _parse(_Fields(data[begin:-CRC_BYTES]))
    source.skip(size)
    return header


def _parse(fields: "_Fields") -> Header:
    flags = fields.number()
    if flags & ~_KNOWN_FLAGS:
        raise ContainerError(
            f"header has flags {flags:#x} of a newer version; update encodec-cli to read the file"
        )
    values = fields.model()
    values["has_scale"] = bool(flags & _HAS_SCALE)
    for name, flag in (("model_sha256", _HAS_SHA256), ("code_model", _HAS_CODE_MODEL)):
        if flags & flag:
            values[name] = fields.take(_HASH_BYTES).hex()
    values["codebooks"], values["chunk_frames"] = fields.number(), fields.number()
    if flags & _HAS_SOURCE:
        values["source_sample_rate"] = fields.number() or None
        values["source_channels"] = fields.number() or None
    for name, flag in (("num_samples", _HAS_SAMPLES), ("source_num_samples", _HAS_SOURCE_SAMPLES)):
        if flags & flag:
            values[name] = fields.number()
    if flags & _HAS_TAGS:
        values["tags"] = {fields.text(): fields.text() for _ in range(fields.count())}
    # What follows is of newer versions, which say by a flag what must not be ignored.
    return Header(version=2, **values)


@dataclass
class _Fields:
    """What is left of a header's body."""

    data: bytes
    at: int = 0

    def number(self) -> int:
        """The next varint."""
        found = parse_varint(self.data, self.at)
        if found is None:
            raise self._broken()
        value, self.at = found
        return value

    def count(self) -> int:
        """A number of things that take at least two bytes each."""
        value = self.number()
        if value > (len(self.data) - self.at) // 2:
            raise self._broken()
        return value

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        if count > len(self.data) - self.at:
            raise self._broken()
        self.at += count
        return self.data[self.at - count : self.at]

    def text(self) -> str:
        """The next text."""
        try:
            return self.take(self.number()).decode()
        except UnicodeDecodeError as error:
            raise self._broken() from error

    def model(self) -> dict[str, Any]:
        """Name and geometry of the model."""
        number = self.number()
        if number > len(KNOWN_MODELS):
            raise ContainerError(
                f"header names model number {number}, which only a newer encodec-cli knows; "
                "update it to read the file"
            )
        if number > 0:
            name, known = KNOWN_MODELS[number - 1]
            return {"model": name, **{key: getattr(known, key) for key in _IMPLIED}}
        values: dict[str, Any] = {"model": self.text()}
        for key in _IMPLIED:
            value = self.number()
            values[key] = None if key in _OPTIONAL and value == 0 else value
        return values

    def _broken(self) -> ContainerError:
        return ContainerError(
            f"header breaks off at byte {self.at} of its body, though its checksum is right"
        )


def _model(header: Header) -> bytes:
    """Number of a known model, or 0, name and geometry."""
    for number, (name, known) in enumerate(KNOWN_MODELS, 1):
        if header.model == name and all(
            getattr(header, key) == getattr(known, key) for key in _IMPLIED
        ):
            return varint(number)
    geometry = b"".join(varint(getattr(header, key) or 0) for key in _IMPLIED)
    return varint(0) + _text(header.model) + geometry


def _hash(digits: str | None) -> bytes:
    return b"" if digits is None else bytes.fromhex(digits)[:_HASH_BYTES]


def _text(text: str) -> bytes:
    data = text.encode()
    return varint(len(data)) + data


def _truncated(data: bytes) -> ContainerError:
    return ContainerError(f"truncated: the file ends after {len(data)} bytes, inside its header")
