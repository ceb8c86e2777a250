"""Frames of AC-3 and E-AC-3, to see whether the last one is whole.

Source: ETSI TS 102 366, sections 4.4.1 (AC-3, table 4.13) and E.1.3.1 (E-AC-3).
"""

import re

from encodec_cli.audio.frame_walk import FrameFormat, FrameHead

__all__ = ["AC3"]

_RATES = (48_000, 44_100, 32_000)
_KBPS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)
_LAST_AC3 = 10
_LAST_EAC3 = 16


def _parse(head: bytes) -> FrameHead | None:
    if len(head) < 6 or head[:2] != b"\x0b\x77":
        return None
    version, rate_index = head[5] >> 3, head[4] >> 6
    if version > _LAST_AC3:
        size = 2 * (((head[2] & 7) << 8 | head[3]) + 1)
        return FrameHead(size, 1536, 48_000, (1,)) if version <= _LAST_EAC3 and size > 6 else None
    code = head[4] & 63
    if rate_index == 3 or code >= 2 * len(_KBPS):
        return None
    kbps, rate = _KBPS[code >> 1], _RATES[rate_index]
    # 16-bit words in 1,536 samples; at 44,100 Hz an odd code stands for one more.
    words = 1536 * kbps * 1000 // rate // 16 + (code & 1 if rate_index == 1 else 0)
    return FrameHead(2 * words, 1536, rate, (0, rate))


AC3 = FrameFormat("AC-3", re.compile(b"\x0b\x77"), 6, _parse)
