"""How much a file may ask for, whatever it says of itself.

A number in a file is believed only as far as the file's own bytes, or what recordings and models
really have, can bear it out. Readers compare with these limits before they allocate, compute or
write anything.
"""

from encodec_cli.errors import ContainerError

__all__ = [
    "MAX_CHANNELS",
    "MAX_CHUNK_FRAMES",
    "MAX_CHUNK_SAMPLES",
    "MAX_HOP",
    "MAX_RATE_HZ",
    "MIN_RATE_HZ",
    "check_unpacked",
    "unpacked_limit",
]

MIN_RATE_HZ = 1_000
MAX_RATE_HZ = 768_000
"""Sample rates of recordings, of what is decoded, and of models."""
MAX_CHANNELS = 64
"""Channels of recordings and of models."""
MAX_CHUNK_FRAMES = 4096
"""Frames in one chunk of codes."""
MAX_HOP = 1 << 20
"""Samples in one frame."""
MAX_CHUNK_SAMPLES = 1 << 24
"""Samples, of all channels together, that one chunk or segment decodes to at once."""
_FREE_BYTES = 1 << 26
_MOST_EXPANSION = 50


def unpacked_limit(packed: int) -> int:
    """Bytes that a compressed file of `packed` bytes may unpack to.

    Codes are close to noise: stored as 64-bit integers they shrink to a tenth. More than fifty
    times its size is taken for a trap, beyond 64 MiB, which even silence may take.
    """
    return max(_FREE_BYTES, _MOST_EXPANSION * packed)


def check_unpacked(unpacked: int, packed: int, name: str) -> None:
    """Refuse a part of a compressed file that would unpack to more than `unpacked_limit`.

    Raises:
        ContainerError: `unpacked`, the bytes that `name` claims to unpack to, is negative or more
            than a file of `packed` bytes may hold.
    """
    if not 0 <= unpacked <= unpacked_limit(packed):
        raise ContainerError(
            f"{name}: unpacks to {unpacked} bytes, from {packed}; no recording's codes do"
        )
