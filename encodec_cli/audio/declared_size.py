"""Where a file says its samples end, for formats in which the decoder does not check it.

libsndfile 1.2.2 opens a truncated AIFF, AU, CAF or W64 file (and WAV, see `wav_header`) without a
word and plays what is left; so does FFmpeg with MP4, Matroska, ASF and AVI. FLAC, MP3 and Ogg need
no help: their frames and pages are counted.
"""

import struct
from typing import BinaryIO

from encodec_cli.audio.ebml import ebml_end
from encodec_cli.audio.window import file_size, read_at
from encodec_cli.errors import AudioError

__all__ = ["check_declared_size"]

_W64_RIFF = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_EBML = b"\x1a\x45\xdf\xa3"
# What writers into a pipe put where the size belongs, as they cannot know it.
_PLACEHOLDER = 0x7F00_0000


def check_declared_size(file: BinaryIO, name: str, start: int) -> None:
    """Refuse a seekable `file`, with audio from byte `start` on, that is shorter than it says.

    Raises:
        AudioError: its samples end behind the end of the file.
    """
    end = _declared_end(file, start)
    size = file_size(file)
    if end is not None and end > size:
        raise AudioError(
            f"{name}: ends early: its header promises samples up to byte {end}, it has "
            f"{size} bytes; it was cut short, get it again"
        )


def _declared_end(file: BinaryIO, start: int) -> int | None:
    """Byte position where the samples must end; None if the file does not say."""
    head = read_at(file, start, 40)
    if head[:4] == b"FORM":
        names = (b"SSND", b"BODY")
        return _chunk_end(file, start + 12, ">4sI", names, align=2, placeholder=_PLACEHOLDER)
    if head[:4] == b"caff":
        return _chunk_end(file, start + 8, ">4sq", (b"data",), align=1)
    if head[:16] == _W64_RIFF:
        # A W64 chunk counts its own 24-byte header.
        return _chunk_end(file, start + 40, "<16sq", (b"data",), align=8, counted=24)
    if head[:16] == _ASF_HEADER:
        return _chunk_end(file, start, "<16sq", (_ASF_DATA,), align=1, counted=24)
    if head[:4] == _EBML:
        return ebml_end(file, start)
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return _chunk_end(file, start, "<4sI", (b"RIFF",), align=2, placeholder=_PLACEHOLDER)
    if head[:4] == b".SoX" and len(head) >= 16:
        header_bytes, samples = struct.unpack_from("<IQ", head, 4)
        return None if samples == 0 else start + 4 + int(header_bytes) + 4 * int(samples)
    if head[:4] == b".snd" and len(head) >= 12:
        offset, size = struct.unpack_from(">II", head, 4)
        return None if size >= _PLACEHOLDER else start + int(offset) + int(size)
    return None


def _chunk_end(
    file: BinaryIO,
    position: int,
    layout: str,
    wanted: tuple[bytes, ...],
    *,
    align: int,
    counted: int = 0,
    placeholder: int = 1 << 62,
) -> int | None:
    """End of the first chunk whose name starts with one of `wanted`, walking from `position`."""
    header_bytes = struct.calcsize(layout)
    while True:
        header = read_at(file, position, header_bytes)
        if len(header) < header_bytes:
            return None
        chunk, size = struct.unpack(layout, header)
        # -1 in CAF: "up to the end"; otherwise nonsense for the decoder to judge.
        if size < counted or size >= placeholder:
            return None
        end = position + header_bytes + int(size) - counted
        if chunk.startswith(wanted):
            return end
        position = end + (-end) % align
