"""The pages of an Ogg file, and the links they make.

    link | link | ...      a chain: each link starts anew, with codec, rate and channels of its own
    pages of one stream, or of several that are interleaved (sound and pictures)

The last page of a stream says, as its granule position, how many samples there are up to its end.

Source: RFC 3533 (pages), sections 4 and 6.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

from encodec_cli.audio.window import file_size, read_at
from encodec_cli.errors import AudioError

__all__ = ["OggLink", "OggStream", "read_links"]

_HEAD_BYTES = 27
_CONTINUES, _BEGINS, _ENDS = 1, 2, 4
_SEARCH_BYTES = 1 << 16
_OPUS_MS = (10, 20, 40, 60)
_OPUS_HEADS = b"Op"  # of OpusHead and OpusTags
_FIRST_CELT = 16  # below are SILK, and SILK with CELT above it (RFC 6716, section 3.1)
_MOST_OPUS_SAMPLES = 5760
_CODECS = (
    (b"\x01vorbis", "vorbis"),
    (b"OpusHead", "opus"),
    (b"\x7fFLAC", "flac"),
    (b"fLaC", "flac"),
    (b"Speex   ", "speex"),
)


@dataclass
class OggStream:
    """One logical stream of a link.

    Attributes:
        codec: of sound; None if it is something else (pictures, subtitles).
        head: its first packet, or the first 64 bytes of it.
        first_granule: of the first page on which sound ends; 0 if there is none.
        last_granule: the last granule position it has.
        first_samples: how many samples, at most, end on the pages up to that one.
        begins_before_zero: whether one of its pages has a position below zero, as editors leave it
            that cut off a beginning.
        uses_silk: whether it has packets of SILK, which is what Opus does with speech at low
            rates: their comfort noise depends on all that came before.
    """

    codec: str | None
    head: bytes
    first_granule: int = 0
    last_granule: int = 0
    first_samples: int = 0
    begins_before_zero: bool = False
    uses_silk: bool = False

    @property
    def is_late(self) -> bool:
        """Whether its beginning is not there, as in a broadcast that was tuned into."""
        return self.first_granule > self.first_samples

    @property
    def samples(self) -> int:
        """Samples that a decoder must deliver, of a late stream at least, at the granules' rate."""
        if self.is_late:
            return max(0, self.last_granule - self.first_granule)
        pre_skip = int.from_bytes(self.head[10:12], "little") if self.codec == "opus" else 0
        return max(0, self.last_granule - pre_skip)

    def _samples_of(self, packet: bytes) -> int:
        """Samples that a packet which begins with these bytes has, at most."""
        if self.codec == "opus":
            return _opus_samples(packet) if packet else _MOST_OPUS_SAMPLES
        if self.codec == "vorbis" and len(self.head) > 28:
            # Half of each of two windows, of which this is the longer one (Vorbis I, 4.2.2).
            return (1 << (self.head[28] >> 4)) // 2
        return 65_535  # of a FLAC frame

    @property
    def channels(self) -> int:
        """Of Vorbis and Opus; 0 for other codecs."""
        at = {"vorbis": 11, "opus": 9}.get(self.codec or "")
        return self.head[at] if at is not None and len(self.head) > at else 0

    @property
    def rate(self) -> int | None:
        """Hz of granule positions; None if that takes a decoder to know."""
        if self.codec == "opus":
            return 48_000
        if self.codec == "vorbis":
            return int.from_bytes(self.head[12:16], "little") or None
        if self.codec == "flac" and self.head[:1] == b"\x7f":
            # STREAMINFO after 9 bytes of mapping, fLaC and a block header: 20 bits at its byte 10.
            return int.from_bytes(self.head[27:30], "big") >> 4 or None
        return None

    @property
    def wants_packets(self) -> bool:
        """Whether there is more to learn from its packets."""
        return self.first_granule <= 0 or (self.codec == "opus" and not self.uses_silk)

    def take(self, granule: int, packets: list[bytes]) -> None:
        """Note that its next page, at position `granule`, has `packets`, of which these bytes."""
        if self.codec == "opus":
            sound = (packet for packet in packets if packet and packet != _OPUS_HEADS)
            self.uses_silk |= any(packet[0] >> 3 < _FIRST_CELT for packet in sound)
        if self.first_granule <= 0:
            self.first_samples += sum(map(self._samples_of, packets))
            self.first_granule = max(0, granule)
        if granule != -1:
            self.last_granule = granule
            self.begins_before_zero |= granule < 0


@dataclass
class OggLink:
    """One link of a chain: the bytes `start` to `end`, and its streams by serial number."""

    start: int
    end: int
    streams: dict[int, OggStream] = field(default_factory=dict)

    @property
    def sound(self) -> OggStream | None:
        """The first of its streams that is sound."""
        return next((each for each in self.streams.values() if each.codec is not None), None)


class _Page(NamedTuple):
    offset: int
    end: int
    flags: int
    granule: int
    serial: int
    lacing: bytes
    body: int


def read_links(file: BinaryIO, name: str) -> list[OggLink]:
    """The links of an Ogg `file`, in order.

    Raises:
        AudioError: a page is cut off or damaged.
    """
    links: list[OggLink] = []
    in_heads = False
    for page in _pages(file, name):
        begins = bool(page.flags & _BEGINS)
        if begins and not in_heads:
            links.append(OggLink(page.offset, page.end))
        in_heads = begins
        if not links:
            continue  # the rest of a stream whose head is lost
        link = links[-1]
        link.end = page.end
        if begins:
            packet = read_at(file, page.body, min(64, page.end - page.body))
            link.streams[page.serial] = OggStream(_codec(packet), packet)
        stream = link.streams.get(page.serial)
        if stream is not None:
            packets = _packets(file, page) if stream.wants_packets else []
            stream.take(page.granule, packets)
    return links


def _packets(file: BinaryIO, page: _Page) -> list[bytes]:
    """The first two bytes of each packet that ends on `page`; none of one that began before it."""
    body = read_at(file, page.body, page.end - page.body)
    packets = []
    start = at = 0
    for length in page.lacing:
        at += length
        if length < 255:
            packets.append(body[start : min(start + 2, at)])
            start = at
    if packets and page.flags & _CONTINUES:
        packets[0] = b""
    return packets


def _codec(packet: bytes) -> str | None:
    return next((codec for magic, codec in _CODECS if packet.startswith(magic)), None)


def _pages(file: BinaryIO, name: str) -> Iterator[_Page]:
    size = file_size(file)
    position = 0
    while position < size:
        head = read_at(file, position, _HEAD_BYTES + 255)
        if head[:4] != b"OggS" and not b"OggS".startswith(head):
            following = _search(file, position, size)
            if following is None:
                return
            position = following
            continue
        page = _parse(position, head)
        if page is None or page.end > size:
            missing = "" if page is None else f" {page.end - size} bytes of"
            raise AudioError(
                f"{name}: ends early:{missing} its last Ogg page (at byte {position}) are missing; "
                "it was cut short, get it again"
            )
        if page.end < size and read_at(file, page.end, 4) != b"OggS" and not _intact(file, page):
            raise AudioError(
                f"{name}: damaged: the Ogg page at byte {position} is not whole; get it again"
            )
        yield page
        position = page.end


def _parse(position: int, head: bytes) -> _Page | None:
    """The page whose `head` is at `position`; None if the head itself is cut off."""
    if len(head) < _HEAD_BYTES or len(head) < _HEAD_BYTES + head[26]:
        return None
    body = position + _HEAD_BYTES + head[26]
    lacing = head[_HEAD_BYTES : _HEAD_BYTES + head[26]]
    end = body + sum(lacing)
    return _Page(
        offset=position,
        end=end,
        flags=head[5],
        granule=int.from_bytes(head[6:14], "little", signed=True),
        serial=int.from_bytes(head[14:18], "little"),
        lacing=lacing,
        body=body,
    )


def _search(file: BinaryIO, position: int, size: int) -> int | None:
    """Where the next page starts after junk at `position`."""
    while position < size:
        at = read_at(file, position, _SEARCH_BYTES).find(b"OggS")
        if at >= 0:
            return position + at
        position += _SEARCH_BYTES - 3
    return None


def _intact(file: BinaryIO, page: _Page) -> bool:
    """Whether the checksum of a page is right; slow, so asked only where a page looks cut off."""
    data = bytearray(read_at(file, page.offset, page.end - page.offset))
    claimed = int.from_bytes(data[22:26], "little")
    data[22:26] = bytes(4)
    crc = 0
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x104C11DB7) if crc & 0x8000_0000 else crc << 1
    return crc == claimed


def _opus_samples(packet: bytes) -> int:
    """Samples of an Opus packet at 48 kHz (RFC 6716, section 3.1)."""
    config, code = packet[0] >> 3, packet[0] & 3
    if config < 12:
        samples = 48 * _OPUS_MS[config & 3]
    elif config < 16:
        samples = 480 << (config & 1)
    else:
        samples = 120 << (config & 3)
    frames = (1, 2, 2, packet[1] & 63 if len(packet) > 1 else 0)[code]
    return frames * samples
