"""Where a file says its samples end, for formats in which libsndfile does not check it.

libsndfile 1.2.2 opens a truncated AIFF, AU, CAF or W64 file (and WAV, see `wav_header`) without a
word and plays what is left. FLAC, MP3 and Ogg need no help: there the decoder fails, or delivers
fewer frames than announced, which `SndfileSource` notices.
"""

import struct
from typing import BinaryIO

__all__ = ["declared_end"]

_W64_RIFF = bytes.fromhex("726966662e91cf11a5d628db04c10000")


def declared_end(file: BinaryIO) -> int | None:
    """Byte position where the samples of a seekable `file` must end; None if it does not say."""
    file.seek(0)
    head = file.read(40)
    if head[:4] == b"FORM":
        return _chunk_end(file, 12, ">4sI", (b"SSND", b"BODY"), align=2)
    if head[:4] == b"caff":
        return _chunk_end(file, 8, ">4sq", (b"data",), align=1)
    if head[:16] == _W64_RIFF:
        # A W64 chunk counts its own 24-byte header.
        return _chunk_end(file, 40, "<16sq", (b"data",), align=8, counted=24)
    if head[:4] == b".snd" and len(head) >= 12:
        start, size = struct.unpack_from(">II", head, 4)
        return None if size == 0xFFFF_FFFF else int(start) + int(size)
    return None


def _chunk_end(
    file: BinaryIO,
    position: int,
    layout: str,
    wanted: tuple[bytes, ...],
    *,
    align: int,
    counted: int = 0,
) -> int | None:
    """End of the first chunk whose name starts with one of `wanted`, walking from `position`."""
    header_bytes = struct.calcsize(layout)
    while True:
        file.seek(position)
        header = file.read(header_bytes)
        if len(header) < header_bytes:
            return None
        chunk, size = struct.unpack(layout, header)
        if size < counted:  # -1 in CAF: "up to the end"; otherwise nonsense for libsndfile to judge
            return None
        end = position + header_bytes + int(size) - counted
        if chunk.startswith(wanted):
            return end
        position = end + (-end) % align
