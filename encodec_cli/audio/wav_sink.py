"""Writing WAV: to files, which become RF64 beyond 4 GB, and to pipes, which never end.

    0 RIFF size WAVE | 12 JUNK 28 (room for ds64) | 48 fmt  18 | 74 data size | 82 samples | LIST

A pipe cannot be patched afterwards: it gets no JUNK, no tags, and sizes of 0xFFFFFFFF, which
readers understand as "until the end".
"""

import struct
from collections.abc import Mapping
from typing import BinaryIO

import numpy as np

from encodec_cli.audio.formats import Encoding
from encodec_cli.audio.metadata import info_chunk
from encodec_cli.audio.samples import FloatBlock, encode_pcm24, quantize

__all__ = ["WavSink"]

_UNKNOWN_32 = 0xFFFF_FFFF
_RIFF_LIMIT_BYTES = 0xFFFF_FFFF
_SAMPLE_BYTES: dict[Encoding, int] = {"pcm16": 2, "pcm24": 3, "float": 4}
_FORMAT_TAGS: dict[Encoding, int] = {"pcm16": 1, "pcm24": 1, "float": 3}


class WavSink:
    """A WAV stream over a binary file that somebody else opens and closes.

    Args:
        file: where the bytes go; seekable unless `streaming`.
        sample_rate: Hz.
        channels: C.
        encoding: how samples are stored.
        streaming: never seek, and flush after every block.
        tags: written behind the samples of a file, as far as WAV has names for them.
    """

    def __init__(
        self,
        file: BinaryIO,
        sample_rate: int,
        channels: int,
        encoding: Encoding,
        *,
        streaming: bool,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        self._tags = b"" if streaming else info_chunk(tags or {})
        self._file = file
        self._encoding = encoding
        self._frame_bytes = channels * _SAMPLE_BYTES[encoding]
        self._streaming = streaming
        self._data_bytes = 0
        room = b"" if streaming else b"JUNK" + struct.pack("<I28x", 28)
        format_chunk = struct.pack(
            "<4sIHHIIHHH",
            b"fmt ",
            18,
            _FORMAT_TAGS[encoding],
            channels,
            sample_rate,
            sample_rate * self._frame_bytes,
            self._frame_bytes,
            8 * _SAMPLE_BYTES[encoding],
            0,
        )
        self._data_start = 12 + len(room) + len(format_chunk) + 8
        self._file.write(struct.pack("<4sI4s", b"RIFF", _UNKNOWN_32, b"WAVE") + room)
        self._file.write(format_chunk + struct.pack("<4sI", b"data", _UNKNOWN_32))
        self._flush()

    def write(self, block: FloatBlock) -> None:
        """Append `block` [C, n]; integer encodings round, and clamp what is beyond full scale."""
        if self._encoding == "float":
            data = np.ascontiguousarray(block.T, "<f4").tobytes()
        elif self._encoding == "pcm24":
            data = encode_pcm24(quantize(block.T, 24))
        else:
            data = np.ascontiguousarray(quantize(block.T, 16), "<i2").tobytes()
        self._file.write(data)
        self._data_bytes += len(data)
        self._flush()

    def close(self) -> None:
        """Pad to an even length and put the true sizes into the header of a file."""
        if self._data_bytes % 2:
            self._file.write(b"\0")
        if self._streaming:
            self._flush()
            return
        self._file.write(self._tags)
        riff_bytes = self._data_start - 8 + self._data_bytes + self._data_bytes % 2
        riff_bytes += len(self._tags)
        self._file.seek(0)
        if riff_bytes <= _RIFF_LIMIT_BYTES:
            self._file.write(struct.pack("<4sI", b"RIFF", riff_bytes))
            self._file.seek(self._data_start - 4)
            self._file.write(struct.pack("<I", self._data_bytes))
        else:
            frames = self._data_bytes // self._frame_bytes
            self._file.write(struct.pack("<4sI4s", b"RF64", _UNKNOWN_32, b"WAVE"))
            self._file.write(
                struct.pack("<4sIQQQI", b"ds64", 28, riff_bytes, self._data_bytes, frames, 0)
            )

    def _flush(self) -> None:
        if self._streaming:
            self._file.flush()
