"""The head of a WAV file or stream, read strictly forwards.

    RIFF size WAVE | (LIST, bext, JUNK, ds64 ...) | fmt  16..40 bytes | (fact ...) | data size ...

libsndfile reads WAV from files, but from a pipe it needs an end it can seek to, and it takes a
header's word for lengths that piping programs cannot know. So the head is parsed here, for files
and pipes alike.
"""

import struct
from dataclasses import dataclass
from typing import Protocol

from encodec_cli.audio.samples import PcmKind
from encodec_cli.errors import AudioError

__all__ = ["ReadsBytes", "WavHeader", "looks_like_wav", "read_wav_header"]

_PCM, _FLOAT, _EXTENSIBLE = 0x0001, 0x0003, 0xFFFE
_KINDS: dict[tuple[int, int], PcmKind] = {  # (format tag, bytes per sample)
    (_PCM, 1): "u8",
    (_PCM, 2): "s16",
    (_PCM, 3): "s24",
    (_PCM, 4): "s32",
    (_FLOAT, 4): "f32",
    (_PCM, 8): "s64",
    (_FLOAT, 8): "f64",
}
_UNKNOWN_64 = 0xFFFF_FFFF_FFFF_FFFF
_SKIP_BYTES = 65_536


class ReadsBytes(Protocol):
    """The only thing a parser may do with its input: read on."""

    def read(self, size: int, /) -> bytes:
        """`size` bytes; fewer only at the end."""


@dataclass(frozen=True)
class WavHeader:
    """What a WAV header says, with the lies of piping programs taken out.

    Attributes:
        codec: the format tag.
        sample_rate: Hz.
        frame_bytes: bytes of one frame, that is of one sample of each channel.
        kind: how samples are stored; None for a codec only libsndfile knows (ADPCM, mu-law ...).
        data_start: where the samples start, in bytes from the start of the stream.
        data_bytes: how many bytes of them follow; None if the writer did not know (a pipe).
    """

    codec: int
    sample_rate: int
    channels: int
    frame_bytes: int
    kind: PcmKind | None
    data_start: int
    data_bytes: int | None


def looks_like_wav(head: bytes) -> bool:
    """Whether the first 12 bytes are those of a little-endian WAV file (RIFF, RF64, BW64)."""
    return head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE"


def read_wav_header(stream: ReadsBytes, name: str) -> WavHeader:
    """Parse up to the first sample; `stream` stands after the 12 bytes of `looks_like_wav`.

    Raises:
        AudioError: the header ends early, has no `fmt ` before `data`, or no `data` at all.
    """
    position = 12
    format_chunk: bytes | None = None
    long_size = _UNKNOWN_64
    while True:
        tag, size = struct.unpack("<4sI", _exactly(stream, 8, name))
        position += 8
        if tag == b"data":
            break
        padded = size + size % 2
        if tag == b"fmt " and 16 <= size <= 1024:
            format_chunk = _exactly(stream, padded, name)
        elif tag == b"ds64" and 24 <= size <= 1024:
            (long_size,) = struct.unpack_from("<Q", _exactly(stream, padded, name), 8)
        else:
            _skip(stream, padded, name)
        position += padded
    if format_chunk is None:
        raise AudioError(f"{name}: damaged WAV header: no fmt chunk before data; export it again")

    codec, channels, sample_rate, _, frame_bytes, _ = struct.unpack_from("<HHIIHH", format_chunk)
    if codec == _EXTENSIBLE and len(format_chunk) >= 26:
        # The sub-format GUID starts with the format tag it extends.
        (codec,) = struct.unpack_from("<H", format_chunk, 24)
    kind = _KINDS.get((codec, frame_bytes // channels)) if channels else None
    if kind is not None and frame_bytes % channels:
        kind = None
    return WavHeader(
        codec=codec,
        sample_rate=sample_rate,
        channels=channels,
        frame_bytes=frame_bytes,
        kind=kind,
        data_start=position,
        data_bytes=_honest_size(size, long_size),
    )


def _honest_size(size: int, long_size: int) -> int | None:
    """Bytes of samples, or None where the writer could not know and put in a placeholder.

    Seen in pipes: 0 (libsndfile, GStreamer), 0x7FFFFFFF rounded down by a header or a frame (sox,
    arecord: 0x7FFFF000, 0x7FFFFF00, 0x80000000), 0xFFFFFFFF likewise (ffmpeg, opusdec). In RF64
    the field is 0xFFFFFFFF and the ds64 chunk has the length, itself 0 or all ones in a pipe.
    """
    if size == 0xFFFF_FFFF and long_size not in (0, _UNKNOWN_64):
        return long_size
    if size == 0 or 0x7FFF_0000 <= size <= 0x8000_0000 or size >= 0xFFFF_0000:
        return None
    return size


def _exactly(stream: ReadsBytes, size: int, name: str) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise AudioError(f"{name}: ends inside its WAV header, before any samples; export it again")
    return data


def _skip(stream: ReadsBytes, size: int, name: str) -> None:
    """Read past a chunk in pieces: its size may be a lie, so it must not be allocated at once."""
    while size > 0:
        size -= len(_exactly(stream, min(size, _SKIP_BYTES), name))
