"""Tags that are put in front of, between and behind the frames of MP3 and its like.

    ID3v2 (front) | frames ... | APEv2 | Lyrics3v2 | ID3v1 (last 128 bytes)

Sources: id3.org (ID3v1, ID3v2.4 sections 3.1 and 3.4, Lyrics3v2); Hydrogenaudio (APEv2).
"""

from typing import BinaryIO

from encodec_cli.audio.window import file_size, read_at

__all__ = ["LONGEST_TAG_HEAD", "skip_front_tags", "tag_size", "tags_start"]

LONGEST_TAG_HEAD = 32
"""Bytes `tag_size` needs to see."""

_ID3V1_BYTES = 128
_LYRICS_END = 15  # six digits and LYRICS200


def tag_size(head: bytes) -> int:
    """Bytes of the tag that starts with `head`; 0 if none does."""
    if head[:3] == b"ID3" and len(head) >= 10 and max(head[6:10]) < 0x80:
        footer = 10 if head[5] & 0x10 else 0
        return 10 + _syncsafe(head[6:10]) + footer
    if head[:8] == b"APETAGEX" and len(head) >= 32:
        is_header = head[23] & 0x20
        # The size counts items and footer, not the header.
        return 32 + (int.from_bytes(head[12:16], "little") if is_header else 0)
    if head[:3] == b"TAG":
        return _ID3V1_BYTES
    return 0


def skip_front_tags(file: BinaryIO) -> int:
    """Where what follows the ID3v2 tags in front starts; a tag longer than the file is no tag."""
    size = file_size(file)
    position = 0
    while True:
        head = read_at(file, position, LONGEST_TAG_HEAD)
        length = tag_size(head) if head[:3] == b"ID3" else 0
        if length == 0 or position + length > size:
            return position
        position += length


def tags_start(file: BinaryIO, start: int, end: int) -> int:
    """Where the tags begin that end at `end`; `end` if there are none. None reach below `start`."""
    while True:
        length = _size_of_last_tag(file, end)
        if length == 0 or end - length < start:
            return end
        end -= length


def _size_of_last_tag(file: BinaryIO, end: int) -> int:
    if read_at(file, max(0, end - _ID3V1_BYTES), 3) == b"TAG" and end >= _ID3V1_BYTES:
        return _ID3V1_BYTES
    tail = read_at(file, max(0, end - 32), min(32, end))
    if tail[:8] == b"APETAGEX" and len(tail) == 32:
        has_header = tail[23] & 0x80
        return int.from_bytes(tail[12:16], "little") + (32 if has_header else 0)
    if tail[-9:] == b"LYRICS200" and tail[-_LYRICS_END:-9].isdigit():
        return int(tail[-_LYRICS_END:-9]) + _LYRICS_END
    if tail[-10:-7] == b"3DI" and max(tail[-4:]) < 0x80:
        return 20 + _syncsafe(tail[-4:])
    return 0


def _syncsafe(four: bytes) -> int:
    return four[0] << 21 | four[1] << 14 | four[2] << 7 | four[3]
