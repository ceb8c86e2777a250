"""The first nine bytes: which `.ecdc` version this is, or what else the file is."""

import struct

from encodec_cli.container.wire import ByteSource
from encodec_cli.errors import ContainerError, parameter

__all__ = ["MAGIC", "MAX_JSON_BYTES", "PREFIX_BYTES", "read_prefix"]

MAGIC = b"ECDC"
PREFIX_BYTES = 9
MAX_JSON_BYTES = 1 << 16
_LOOK_ALIKES = (
    (b"RIFF", "a WAV (RIFF) file; encode it first"),
    (b"RF64", "a WAV (RF64) file; encode it first"),
    (b"FORM", "an AIFF file; encode it first"),
    (b"OggS", "an Ogg file; encode it first"),
    (b"fLaC", "a FLAC file; encode it first"),
    (b"ID3", "an MP3 file; encode it first"),
    (b"\xff\xfb", "an MP3 file; encode it first"),
    (b"\x1f\x8b", "a gzip file; unpack it first"),
    (b"PK\x03\x04", "a zip file; unpack it first"),
    (b"KENC\x01\x0d\x0a\x1a", "a kilix .kenc file; decode it with kilix"),
)
_ENCODEC_STREAM = (192, 193)


def read_prefix(source: ByteSource, legacy: str | None = None) -> tuple[int, int]:
    """Look at magic, version and JSON length, without consuming them.

    With `legacy` "encodec-stream" its version bytes count as 0.

    Returns:
        (version, JSON bytes): version is 0, 1 or 2, the length is at most `MAX_JSON_BYTES`, and 0
            in version 2, which has no JSON.

    Raises:
        ContainerError: not an `.ecdc` file; the message says what it is, as far as that is known.
    """
    start = source.peek(PREFIX_BYTES)
    if not start.startswith(MAGIC):
        raise ContainerError(_describe(source))
    if len(start) < PREFIX_BYTES:
        raise ContainerError(
            f"truncated: the file ends after {len(start)} bytes, inside its header"
        )
    version, length = struct.unpack(">BI", start[4:])
    if version in _ENCODEC_STREAM and legacy == "encodec-stream":
        version = 0
    if version in _ENCODEC_STREAM:
        raise ContainerError(
            f"written by Encodec-Stream (version byte {version} at byte 4); "
            f"decode it with {parameter('legacy', 'encodec-stream')}"
        )
    if version > 2:
        raise ContainerError(
            f"format version {version} (byte 4) is not known, only 0, 1 and 2 are; "
            "a newer encodec-cli may read it"
        )
    if version == 2:
        return version, 0
    if length > MAX_JSON_BYTES:
        raise ContainerError(
            f"header of {length} bytes (byte 5) exceeds {MAX_JSON_BYTES}; the file is damaged"
        )
    return version, length


def _describe(source: ByteSource) -> str:
    head = source.peek(64)
    if not head:
        return "the file is empty; was it encoded completely?"
    for magic, name in _LOOK_ALIKES:
        if head.startswith(magic):
            return f"not an .ecdc file but {name}"
    if head[4:8] == b"ftyp":
        return "not an .ecdc file but an MP4/M4A file; encode it first"
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "not an .ecdc file but an HTML page; was the download refused?"
    if MAGIC.startswith(head):
        return f"truncated: the file ends after {len(head)} bytes, inside its header"
    return f"not an .ecdc file: it starts with {head[:4].hex(' ')} instead of {MAGIC.hex(' ')}"
