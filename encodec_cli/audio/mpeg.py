"""Frames of MPEG-1, 2 and 2.5 audio, layers I to III, and what encoders hide in the first one.

Sources: ISO/IEC 11172-3 section 2.4.1.3 (header), 13818-3 (lower rates); the Xing, VBRI and LAME
tags as described by their authors (gabriel.mp3-tech.org/mp3infotag.html).
"""

import re
from functools import cache
from typing import NamedTuple

from encodec_cli.audio.frame_walk import FrameFormat, FrameHead

__all__ = [
    "DECODER_DELAY",
    "MPEG_AUDIO",
    "FreeLayout",
    "InfoFrame",
    "free_layout",
    "read_info_frame",
]

DECODER_DELAY = 529
"""Samples that every decoder of layer III adds in front of what the encoder added."""

_VERSION_1 = 3  # as the header writes them
_LAYER_3 = 1
_LAYER_1 = 3
_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_KBPS_1 = {
    1: (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    2: (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
}
_LOW_KBPS = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_KBPS_2 = {
    1: (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    2: _LOW_KBPS,
    3: _LOW_KBPS,
}


class InfoFrame(NamedTuple):
    """What a Xing, Info or VBRI frame says of the stream that follows it.

    Attributes:
        frames: how many frames follow; None if it does not say.
        delay: samples the encoder put in front; None if it does not say.
        padding: samples the encoder put behind, likewise.
    """

    frames: int | None
    delay: int | None
    padding: int | None


def _parse(head: bytes) -> FrameHead | None:
    if len(head) < 4 or head[0] != 0xFF or head[1] < 0xE0:
        return None
    layout = _layout(head[1] & 0x1E, head[2] & 0xFE)
    if layout is None:
        return None
    size, samples, rate = layout
    return FrameHead(size, samples, rate, (head[1] & 0x1E, rate))


@cache
def _layout(second: int, third: int) -> tuple[int, int, int] | None:
    """Bytes, samples and Hz of a frame, from the second and third byte of its head."""
    version, layer = second >> 3 & 3, 4 - (second >> 1 & 3)
    bitrate, rate_index, padding = third >> 4, third >> 2 & 3, third >> 1 & 1
    # Bitrate 0 is "free format": the size of a frame is then not in its head.
    if version == 1 or layer == 4 or bitrate in (0, 15) or rate_index == 3:
        return None
    rate = _RATES[version][rate_index]
    kbps = (_KBPS_1 if version == _VERSION_1 else _KBPS_2)[layer][bitrate - 1]
    if layer == 1:
        return (12_000 * kbps // rate + padding) * 4, 384, rate
    samples = 576 if layer == 3 and version != _VERSION_1 else 1152
    return samples // 8 * 1000 * kbps // rate + padding, samples, rate


MPEG_AUDIO = FrameFormat("MP3", re.compile(b"\xff[\xe2-\xff][\x10-\xef]", re.DOTALL), 4, _parse)


class FreeLayout(NamedTuple):
    """A frame in free format, whose head does not tell its size.

    Attributes:
        samples: per channel.
        rate: Hz.
        slot: bytes that padding adds.
    """

    samples: int
    rate: int
    slot: int


def free_layout(head: bytes) -> FreeLayout | None:
    """What `head`, four bytes, says, if it is that of a frame in free format."""
    if len(head) < 4 or head[0] != 0xFF or head[1] < 0xE0 or head[2] >> 4:
        return None
    known = _layout(head[1] & 0x1E, head[2] & 0xFE | 0x10)  # as if at the lowest bitrate
    if known is None:
        return None
    return FreeLayout(known[1], known[2], 4 if head[1] >> 1 & 3 == _LAYER_1 else 1)


def read_info_frame(frame: bytes) -> InfoFrame | None:
    """What `frame` says of others, if it is one that holds no sound but a Xing or VBRI tag."""
    if frame[1] >> 1 & 3 != _LAYER_3:
        return None
    if frame[36:40] == b"VBRI" and len(frame) >= 54:
        return InfoFrame(int.from_bytes(frame[50:54], "big"), None, None)
    mono = frame[3] >> 6 == 3
    version_1 = frame[1] >> 3 & 3 == _VERSION_1
    side_bytes = (17 if mono else 32) if version_1 else (9 if mono else 17)
    for at in (4 + side_bytes, 6 + side_bytes):  # with a checksum it stands two bytes further
        if frame[at : at + 4] in (b"Xing", b"Info"):
            return _read_xing(frame[at:])
    return None


def _read_xing(tag: bytes) -> InfoFrame:
    flags = int.from_bytes(tag[4:8], "big")
    at, frames = 8, None
    if flags & 1:
        frames = int.from_bytes(tag[at : at + 4], "big")
        at += 4
    at += (4 if flags & 2 else 0) + (100 if flags & 4 else 0) + (4 if flags & 8 else 0)
    if tag[at : at + 4] not in (b"LAME", b"Lavf", b"Lavc", b"GOGO", b"L3.9") or len(tag) < at + 24:
        return InfoFrame(frames, None, None)
    packed = int.from_bytes(tag[at + 21 : at + 24], "big")
    return InfoFrame(frames, packed >> 12, packed & 0xFFF)
