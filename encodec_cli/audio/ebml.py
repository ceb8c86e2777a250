"""Where a Matroska or WebM file says that it ends.

Source: RFC 8794 (EBML), sections 4 and 5; RFC 9559 (Matroska).
"""

from typing import BinaryIO

from encodec_cli.audio.window import file_size, read_at

__all__ = ["ebml_end"]

_SEGMENT, _CLUSTER = 0x18538067, 0x1F43B675


def ebml_end(file: BinaryIO, start: int) -> int:
    """End in bytes of the last element of a file whose first element is at byte `start`.

    A live stream does not know the size of its segment and clusters; there, the elements in them
    are looked at.
    """
    size = file_size(file)
    position = start
    while position < size:
        head = read_at(file, position, 12)
        element, id_bytes = _number(head, keep_marker=True)
        length, length_bytes = _number(head[id_bytes:], keep_marker=False)
        if id_bytes == 0 or length_bytes == 0:
            # A head that the end cuts off, or something that is no element: for FFmpeg to judge.
            return position if len(head) == 12 else max(size, position + 2)
        body = position + id_bytes + length_bytes
        unknown = length == (1 << 7 * length_bytes) - 1
        if not unknown:
            position = body + length
        elif element in (_SEGMENT, _CLUSTER):
            position = body
        else:
            return size
    return position


def _number(data: bytes, *, keep_marker: bool) -> tuple[int, int]:
    """A variable-length number at the start of `data`, and its bytes; 0 bytes if there is none."""
    if not data or data[0] == 0:
        return 0, 0
    length = 9 - data[0].bit_length()
    if len(data) < length:
        return 0, 0
    value = int.from_bytes(data[:length], "big")
    return (value if keep_marker else value & ((1 << 7 * length) - 1)), length
