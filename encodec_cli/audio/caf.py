"""What a CAF file says about its codec and length.

Source: Apple Core Audio Format Specification 1.0 (chunks desc and pakt).
"""

import struct
from typing import BinaryIO

from encodec_cli.audio.window import read_at

__all__ = ["is_caf_alac", "read_packet_table"]

_MOST_CHUNKS = 10_000


def is_caf_alac(head: bytes) -> bool:
    """Whether a file begins as ALAC in CAF, for which libsndfile may write to the terminal."""
    return head.startswith(b"caff") and head[28:32] == b"alac"


def read_packet_table(file: BinaryIO) -> tuple[int, int] | None:
    """Samples of sound and, in front of them, of padding; None if there is no packet table."""
    if read_at(file, 0, 4) != b"caff":
        return None
    position = 8
    for _ in range(_MOST_CHUNKS):
        head = read_at(file, position, 36)
        if len(head) < 12:
            return None
        kind, size = struct.unpack_from(">4sq", head)
        if kind == b"pakt" and len(head) == 36:
            samples, priming = struct.unpack_from(">qi", head, 20)
            return (samples, priming) if samples > 0 and priming >= 0 else None
        if size < 0:
            return None
        position += 12 + size
    return None
