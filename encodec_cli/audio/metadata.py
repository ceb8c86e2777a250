"""Tags of recordings: title, artist, album, date, track, comment and the like.

    file --FFmpeg--> names as FFmpeg has them, lower case --> fit for a header --> dict

In WAV they are looked for only if a chunk for them is there, since FFmpeg takes time to load.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal

from encodec_cli.audio.av_decoding import open_container
from encodec_cli.audio.window import open_window
from encodec_cli.errors import AudioError

__all__ = ["INFO_NAMES", "Tags", "info_chunk", "read_tags"]

_MOST_CHARACTERS = 2_000
_MOST_TOGETHER = 16_000
_MOST_TAGS = 64
_MOST_CHUNKS = 1_000
# What programs write about the file rather than people about the recording.
_TECHNICAL = frozenset(
    {"bps", "brand", "compatible_brands", "creation_time", "duration", "encoded_by", "encoder"}
    | {"encoding", "encoderid", "handler_name", "itunnorm", "itunsmpb", "language", "major_brand"}
    | {"minor_version", "number_of_bytes", "number_of_frames", "software", "timecode", "tool"}
    | {"umid", "vendor_id", "coding_history", "time_reference", "originator_reference"}
)
_TECHNICAL_STARTS = ("_", "id3v2_priv", "replaygain", "wm/", "device")
INFO_NAMES = {
    "title": b"INAM",
    "artist": b"IART",
    "album": b"IPRD",
    "date": b"ICRD",
    "track": b"IPRT",
    "genre": b"IGNR",
    "comment": b"ICMT",
    "copyright": b"ICOP",
}
"""Names of tags that WAV has a place for, and what its INFO list calls them."""


@dataclass(frozen=True)
class Tags:
    """What a recording says of itself.

    Attributes:
        kept: by lower-case name; printable, one line each.
        left_out: names of those too long, or too many, to be kept.
    """

    kept: dict[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


def read_tags(source: Path | Literal["-"]) -> Tags:
    """The tags of the file `source`; none of a pipe, or where FFmpeg finds none.

    What programs note about the file itself (encoder, brands, loudness) is no tag.
    """
    if source == "-" or not source.is_file():
        return Tags()
    try:
        with source.open("rb") as file:
            if not _may_have_tags(file):
                return Tags()
            container = open_container(open_window(file, 0), str(source))
            if container is None:
                return Tags()
            container.close()
            return _fit(container.metadata)
    except (AudioError, OSError):  # whoever reads the samples says what is wrong
        return Tags()


def _may_have_tags(file: BinaryIO) -> bool:
    head = file.read(12)
    if head[8:] != b"WAVE" or head[:4] not in (b"RIFF", b"RF64", b"BW64"):
        return True
    for _ in range(_MOST_CHUNKS):
        chunk = file.read(8)
        if len(chunk) < 8:
            return False
        name, size = struct.unpack("<4sI", chunk)
        if name in (b"LIST", b"bext") or name.lower() == b"id3 ":
            return True
        file.seek(size + size % 2, 1)
    return False


def _fit(metadata: Mapping[str, str]) -> Tags:
    kept: dict[str, str] = {}
    left_out: list[str] = []
    together = 0
    for name, value in sorted(metadata.items()):
        name, text = _printable(name).lower().strip(), " ".join(_printable(value).split())
        if not name or not text or name in _TECHNICAL or name.startswith(_TECHNICAL_STARTS):
            continue
        together += len(name.encode()) + len(text.encode())
        fits = len(text) <= _MOST_CHARACTERS and together <= _MOST_TOGETHER
        if fits and len(kept) < _MOST_TAGS and len(name) <= _MOST_TAGS:
            kept[name] = text
        else:
            left_out.append(name[:_MOST_TAGS])
            together -= len(name.encode()) + len(text.encode())
    return Tags(kept, tuple(left_out[:_MOST_TAGS]))


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in str(text))


def info_chunk(tags: Mapping[str, str]) -> bytes:
    """The LIST chunk of WAV for those of `tags` that have a place there; empty if none have."""
    items = b""
    for name, code in INFO_NAMES.items():
        if name in tags:
            text = tags[name].encode() + b"\0"
            items += struct.pack("<4sI", code, len(text)) + text + b"\0" * (len(text) % 2)
    return struct.pack("<4sI4s", b"LIST", 4 + len(items), b"INFO") + items if items else b""
