"""FLAC files that hold more than libsndfile plays: chains, and totals that are too small.

libsndfile plays as many samples as STREAMINFO says, of the first stream in the file.

Source: RFC 9639, sections 8.2 (STREAMINFO) and 9.1 (frame header).
"""

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from encodec_cli.audio.av_decoding import Piece, open_container
from encodec_cli.audio.frame_source import FrameSource, exactly
from encodec_cli.audio.resample import resampled_length
from encodec_cli.audio.window import file_size, open_window, read_at
from encodec_cli.errors import AudioError

__all__ = ["FlacLink", "flac_links", "open_flac_chain"]

# A stream begins with this word and a STREAMINFO block of 34 bytes, be it the last one or not.
_BEGINNINGS = (b"fLaC\x00\x00\x00\x22", b"fLaC\x80\x00\x00\x22")
_SCAN_BYTES = 1 << 20
_TAIL_BYTES = 1 << 18
_BLOCK_SIZES = {1: 192, **{i: 144 << i for i in range(2, 6)}, **{i: 1 << i for i in range(8, 16)}}


class FlacLink(NamedTuple):
    """One FLAC stream: bytes `start` to `end`, its rate in Hz, and two opinions of its length.

    Attributes:
        samples: what its header says; 0 if that is unknown.
        last_sample: where its last frame ends, as far as it can be found; 0 if not.
    """

    start: int
    end: int
    rate: int
    samples: int
    last_sample: int

    @property
    def is_plain(self) -> bool:
        """Whether libsndfile plays all of it."""
        return self.samples == 0 or self.last_sample <= self.samples


def flac_links(file: BinaryIO, start: int) -> list[FlacLink]:
    """The FLAC streams in `file`, of which the first is at byte `start`."""
    starts = _starts(file, start)
    return [
        _read_link(file, begin, end)
        for begin, end in zip(starts, [*starts[1:], file_size(file)], strict=True)
    ]


def open_flac_chain(file: BinaryIO, name: str, links: list[FlacLink]) -> FrameSource:
    """Samples of all `links`, those of another rate or channel count as the first.

    Raises:
        AudioError: a link cannot be decoded, or is shorter than it says.
    """
    source = FrameSource(_decode(file, name, links), name, None)
    if all(link.samples and link.rate and link.is_plain for link in links):
        lengths = [resampled_length(x.samples, x.rate, source.sample_rate) for x in links]
        source.num_frames = sum(lengths)
    return source


def _decode(file: BinaryIO, name: str, links: list[FlacLink]) -> Iterator[Piece]:
    for link in links:
        container = open_container(open_window(file, link.start, link.end), name, "flac")
        if container is None:
            raise AudioError(
                f"{name}: damaged: the FLAC stream at byte {link.start} cannot be opened; "
                "get it again"
            )
        yield from exactly(container.pieces(), name, least=link.samples)


def _starts(file: BinaryIO, start: int) -> list[int]:
    starts = []
    position, size = start, file_size(file)
    while position < size:
        data = read_at(file, position, _SCAN_BYTES + 7)
        for beginning in _BEGINNINGS:
            at = data.find(beginning)
            while at >= 0:
                starts.append(position + at)
                at = data.find(beginning, at + 1)
        position += _SCAN_BYTES
    return sorted({start, *starts})


def _read_link(file: BinaryIO, start: int, end: int) -> FlacLink:
    info = read_at(file, start + 8, 34)
    rate = int.from_bytes(info[10:13], "big") >> 4
    samples = int.from_bytes(info[13:18], "big") & (1 << 36) - 1
    block_size = int.from_bytes(info[0:2], "big")
    tail_start = max(start, end - _TAIL_BYTES)
    tail = read_at(file, tail_start, end - tail_start)
    return FlacLink(start, end, rate, samples, _last_sample(tail, block_size))


def _last_sample(tail: bytes, block_size: int) -> int:
    """Where the last frame that begins in `tail` ends, in samples; 0 if none is found."""
    at = len(tail)
    while (at := tail.rfind(b"\xff", 0, at)) >= 0:
        if tail[at + 1 : at + 2] in (b"\xf8", b"\xf9"):
            end = _frame_end(tail[at : at + 16], block_size)
            if end is not None:
                return end
    return 0


def _frame_end(head: bytes, block_size: int) -> int | None:
    """The sample after the last of the frame that starts with `head`; None if it is no frame."""
    if len(head) < 16 or head[3] & 1 or head[2] & 15 == 15 or head[3] >> 4 > 10:
        return None
    ones = 8 - (head[4] ^ 0xFF).bit_length()
    length = max(1, ones)
    if ones in (1, 8):
        return None
    number = head[4] & (0x7F if ones == 0 else 0x7F >> ones)
    for byte in head[5 : 4 + length]:
        if byte >> 6 != 2:
            return None
        number = number << 6 | byte & 0x3F
    at = 4 + length
    code = head[2] >> 4
    if code in (6, 7):
        size = int.from_bytes(head[at : at + code - 5], "big") + 1
        at += code - 5
    elif code in _BLOCK_SIZES:
        size = _BLOCK_SIZES[code]
    else:
        return None
    at += {12: 1, 13: 2, 14: 2}.get(head[2] & 15, 0)
    if _crc8(head[:at]) != head[at]:
        return None
    return (number if head[1] & 1 else number * block_size) + size


def _crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x07) & 0xFF if crc & 0x80 else crc << 1
    return crc
