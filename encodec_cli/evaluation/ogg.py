"""Sizes of the packets in an Ogg file, to know what a codec costs without its container."""

import struct
from collections.abc import Iterator

from encodec_cli.errors import ContainerError

__all__ = ["packet_sizes"]

_PAGE = struct.Struct("<4sBBqIIIB")


def packet_sizes(data: bytes) -> list[int]:
    """Bytes of each packet of an Ogg file with one stream, headers included (RFC 3533).

    Raises:
        ContainerError: not Ogg, or cut off.
    """
    sizes, size = [], 0
    for lacing in _lacing_values(data):
        size += lacing
        if lacing < 255:  # 255 says that the packet goes on
            sizes.append(size)
            size = 0
    return sizes


def _lacing_values(data: bytes) -> Iterator[int]:
    position = 0
    while position < len(data):
        if len(data) - position < _PAGE.size:
            raise ContainerError(f"Ogg: cut off at byte {position}")
        magic, *_, segments = _PAGE.unpack_from(data, position)
        if magic != b"OggS":
            raise ContainerError(f"Ogg: no page at byte {position}")
        position += _PAGE.size
        table = data[position : position + segments]
        position += segments + sum(table)
        if len(table) < segments or position > len(data):
            raise ContainerError(f"Ogg: cut off at byte {len(data)}")
        yield from table
