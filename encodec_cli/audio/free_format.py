"""MP3 in free format: frames that say no bitrate, all of one size (ISO/IEC 11172-3, 2.4.2.3).

FFmpeg does not decode it; libsndfile does, and its frames are counted here, so that nothing is left
out without an error.
"""

import re
from typing import BinaryIO

from encodec_cli.audio.frame_walk import FrameFormat, FrameHead, FrameWalker
from encodec_cli.audio.mpeg import free_layout
from encodec_cli.audio.sndfile_source import SndfileSource
from encodec_cli.audio.tags import tags_start
from encodec_cli.audio.window import file_size, open_window, read_at
from encodec_cli.errors import AudioError

__all__ = ["open_free_format"]

_LONGEST = 1 << 14
"""Bytes of a frame: 640 kb/s at 8 kHz are 11,520."""
_RUN = 4
_SPARE_FRAMES = 3
"""Frames that an encoder's delay and padding, which libsndfile takes off, may come to."""


def open_free_format(file: BinaryIO, name: str, start: int) -> SndfileSource | None:
    """Samples of the free-format MP3 that begins at byte `start`; None if none does.

    Raises:
        AudioError: cut short, or longer than libsndfile reads.
    """
    stream = open_window(file, start, tags_start(file, start, file_size(file)))
    form = _format(read_at(file, start, 2 * _LONGEST))
    if form is None:
        return None
    walker = FrameWalker(stream, form, name)
    if walker.find(junk=0, run=_RUN) is None:
        return None
    samples = frame_samples = 0
    for frame in walker.walk(0):
        if not frame.whole:
            raise AudioError(
                f"{name}: ends early: its last MP3 frame has {frame.head.size} bytes, "
                f"{len(frame.data)} are there; it was cut short, get it again"
            )
        frame_samples = frame.head.samples
        samples += frame_samples
    source = SndfileSource(file, name)
    estimate = source.num_frames or 0  # libsndfile's, from the size of the file
    if estimate < samples - _SPARE_FRAMES * frame_samples:
        source.close()
        raise AudioError(
            f"{name}: MP3 in free format, of which only a part can be decoded here; make a WAV of "
            f"it first, e.g. with mpg123 -w"
        )
    source.num_frames = samples if estimate >= samples else None
    return source


def _format(data: bytes) -> FrameFormat | None:
    """The frames that `data` begins with: as long as it is to the next head of the same kind."""
    layout = free_layout(data[:4])
    if layout is None:
        return None
    same = re.compile(re.escape(data[:2]) + b"[" + re.escape(bytes(_padded_or_not(data[2]))) + b"]")
    padding = data[2] >> 1 & 1
    for found in same.finditer(data, layout.slot, _LONGEST):
        form = _frames_of(found.start() - padding * layout.slot, data)
        position = 0
        for _ in range(_RUN):
            head = form.parse(data[position : position + 4])
            if head is None:
                break
            position += head.size
        else:
            return form
    return None


def _padded_or_not(third: int) -> tuple[int, int]:
    return third & ~2 & 0xFF, third | 2


def _frames_of(size: int, first: bytes) -> FrameFormat:
    """Frames of `size` bytes, and a slot more if padded, with the kind that `first` has."""
    kind = first[1] & 0x1E, first[2] & 0xFC

    def parse(head: bytes) -> FrameHead | None:
        layout = free_layout(head)
        if layout is None or (head[1] & 0x1E, head[2] & 0xFC) != kind:
            return None
        padding = head[2] >> 1 & 1
        return FrameHead(size + padding * layout.slot, layout.samples, layout.rate, kind)

    sync = re.compile(b"\xff[\xe2-\xff][\x00-\x0f]", re.DOTALL)
    return FrameFormat("MP3", sync, 4, parse)
