"""Frames of AAC as ADTS, the form of `.aac` files and of internet radio.

Source: ISO/IEC 13818-7 section 6.2.
"""

import re

from encodec_cli.audio.frame_walk import FrameFormat, FrameHead

__all__ = ["ADTS"]

_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_BLOCK_SAMPLES = 1024


def _parse(head: bytes) -> FrameHead | None:
    # Twelve bits of sync and two of layer, always 0.
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return None
    rate_index = head[2] >> 2 & 15
    size = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    head_bytes = 7 if head[1] & 1 else 9
    if rate_index >= len(_RATES) or size <= head_bytes:
        return None
    profile, channels = head[2] >> 6, (head[2] & 1) << 2 | head[3] >> 6
    blocks = 1 + (head[6] & 3)
    rate = _RATES[rate_index]
    return FrameHead(size, blocks * _BLOCK_SAMPLES, rate, (profile, rate, channels))


ADTS = FrameFormat("AAC", re.compile(b"\xff[\xf0\xf1\xf8\xf9]"), 7, _parse)
