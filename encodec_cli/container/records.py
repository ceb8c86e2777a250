"""Records, the units that files of versions 1 and 2 consist of after their header.

    chunk | chunk | ... | end record | tail

A record has a head (kind, frames, bytes of the payload), a payload, and a CRC-32 that is seeded
with the record's number, so a record that is intact but in the wrong place does not pass. How head
and tail are spelt is a version's `Framing`; what is in a chunk, its kind's `Payload`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from encodec_cli.container.checksum import CRC_BYTES
from encodec_cli.container.header_rules import MAX_SAMPLES
from encodec_cli.container.wire import parse_varints, varint

__all__ = [
    "KIND_CODED",
    "KIND_END",
    "KIND_RAW",
    "EndMark",
    "Framing",
    "Head",
    "end_payload",
    "parse_end",
]

KIND_END = 0
KIND_RAW = 1
KIND_CODED = 2
_MAX_RECORD_BYTES = 1 << 24


@dataclass(frozen=True)
class Head:
    """Start of a record.

    Attributes:
        kind: of record, `KIND_END` and so on.
        frames: frames in the payload; 0 for the end record.
        payload: its bytes.
        start: bytes of the head itself.
    """

    kind: int
    frames: int
    payload: int
    start: int

    @property
    def size(self) -> int:
        """Bytes of the whole record, CRC included."""
        return self.start + self.payload + CRC_BYTES


@dataclass(frozen=True)
class EndMark:
    """What the end record holds.

    Attributes:
        num_samples: per channel at the model's rate.
        source_num_samples: per channel at the source's rate, or None if not kept.
        sizes: bytes of each chunk record, in file order; int64 [chunks].
    """

    num_samples: int
    source_num_samples: int | None
    sizes: NDArray[np.int64]


class Framing(Protocol):
    """How a version spells what is around payloads.

    Attributes:
        head_bytes: of the longest head; no record is shorter.
        tail_bytes: of the tail.
    """

    head_bytes: int
    tail_bytes: int

    def parse_head(self, data: bytes) -> Head | None:
        """Head at the start of `data`; None if it is cut short or misspelt."""

    def record(self, kind: int, frames: int, payload: bytes, index: int) -> bytes:
        """A whole record; `frames` is 0 for the end record."""

    def tail(self, end_bytes: int) -> bytes:
        """What follows an end record of `end_bytes` bytes."""

    def end_bytes(self, tail: bytes) -> int | None:
        """Inverse of `tail`; None if it is none."""

    def candidates(self, window: bytes) -> Iterable[int]:
        """Where in `window` a record may begin, rising, found at little cost.

        The last `head_bytes` - 1 places are not looked at.
        """


def end_payload(num_samples: int, source_num_samples: int | None, sizes: Iterable[int]) -> bytes:
    """Payload of the end record; `sizes` are the bytes of each chunk record."""
    listed = list(sizes)
    numbers = [num_samples, source_num_samples or 0, len(listed), *listed]
    return b"".join(map(varint, numbers))


def parse_end(payload: bytes) -> EndMark | None:
    """Content of an end record, or None if its numbers do not add up."""
    numbers = parse_varints(payload)
    if numbers is None or len(numbers) < 4 or numbers[0] == 0 or numbers[2] != len(numbers) - 3:
        return None
    sizes = numbers[3:]
    if max(numbers[0], numbers[1]) > MAX_SAMPLES or sizes.max() > _MAX_RECORD_BYTES:
        return None
    return EndMark(int(numbers[0]), int(numbers[1]) or None, sizes)
