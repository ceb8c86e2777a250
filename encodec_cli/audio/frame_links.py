"""MP3 and ADTS files: one stream of frames after another, each with a length of its own.

frames, walked twice: once to count them when the file is opened, once to decode them
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, BinaryIO

import numpy as np

from encodec_cli.audio.av_decoding import Piece, SampleTaker, load_av
from encodec_cli.audio.frame_source import FrameSource, exactly
from encodec_cli.audio.frame_walk import FrameFormat, FrameHead, FrameWalker, WalkedFrame
from encodec_cli.audio.mpeg import DECODER_DELAY, MPEG_AUDIO, InfoFrame, read_info_frame
from encodec_cli.audio.resample import resampled_length
from encodec_cli.audio.tags import tags_start
from encodec_cli.audio.window import file_size, open_window
from encodec_cli.errors import AudioError

__all__ = ["check_last_frame", "open_frames"]


# 511 bytes of other frames, the most that one leans on, are 22 frames at 8 kb/s.
_LEAD_FRAMES = 32


@dataclass
class _Link:
    """Frames that follow each other and belong together.

    Attributes:
        offset: where its first frame starts, which may be its info frame.
        head: of its first frame.
        info: what its info frame says, if it has one.
        frames: how many whole frames of sound it has.
    """

    offset: int
    head: FrameHead
    info: InfoFrame | None
    frames: int = 0

    @property
    def skip(self) -> int:
        """Samples that the encoder and every decoder put in front."""
        if self.info is None or self.info.delay is None:
            return 0
        return self.info.delay + DECODER_DELAY

    @property
    def samples(self) -> int:
        """Samples to keep."""
        total = self.frames * self.head.samples
        # The padding is that of the last frame the encoder wrote; if others follow, it is not last.
        if self.info is not None and self.info.padding and self.frames == self.info.frames:
            total -= max(0, self.info.padding - DECODER_DELAY)
        return max(0, total - self.skip)


def open_frames(file: BinaryIO, name: str, form: FrameFormat, start: int, end: int) -> FrameSource:
    """Samples of the MP3 or ADTS frames in the bytes `start` to `end` of `file`.

    Raises:
        AudioError: cut short, or PyAV is missing.
    """
    last = tags_start(file, start, end)
    stream = open_window(file, start, last)
    links = _find_links(stream, name, form, whole_file=last < file_size(file))
    links = [link for link in links if link.frames > 0]
    seek = None
    if len(links) == 1 and form is MPEG_AUDIO:
        seek = partial(_decode_late, stream, name, links[0])
    source = FrameSource(_decode_links(stream, name, form, links), name, None, seek=seek)
    # AAC may decode to twice the rate that its heads say (SBR).
    factor = source.sample_rate / links[0].head.rate
    source.num_frames = sum(
        resampled_length(round(x.samples * factor), round(x.head.rate * factor), source.sample_rate)
        for x in links
    )
    return source


def check_last_frame(file: BinaryIO, name: str, form: FrameFormat, start: int) -> None:
    """Refuse a `file` of frames from byte `start` on of which the last is not whole.

    Raises:
        AudioError: the last frame is cut short.
    """
    stream = open_window(file, start, tags_start(file, start, file_size(file)))
    walker = FrameWalker(stream, form, name)
    first = walker.find(junk=file_size(stream), run=2)
    for frame in walker.walk(first) if first is not None else ():
        if not frame.whole:
            raise AudioError(_cut_frame(frame, name, form))


def _cut_frame(frame: WalkedFrame, name: str, form: FrameFormat) -> str:
    return (
        f"{name}: ends early: its last {form.name} frame has {frame.head.size} bytes, "
        f"{len(frame.data)} are there; it was cut short, get it again"
    )


def _find_links(stream: BinaryIO, name: str, form: FrameFormat, *, whole_file: bool) -> list[_Link]:
    """The links of `stream`; `whole_file`: something behind shows that its end is there."""
    walker = FrameWalker(stream, form, name)
    links: list[_Link] = []
    start = walker.find(junk=file_size(stream), run=2)
    if start is None:
        return links
    for frame in walker.walk(start):
        info = read_info_frame(frame.data) if form is MPEG_AUDIO else None
        if not links or info is not None or links[-1].head.kind != frame.head.kind:
            _check_complete(links[-1:], name)
            links.append(_Link(frame.offset, frame.head, info))
        if frame.whole and info is None:
            links[-1].frames += 1
        elif not frame.whole:
            _refuse_cut_frame(frame, links[-1], name, form, whole_file=whole_file)
    _check_complete(links[-1:], name)
    return links


def _refuse_cut_frame(
    frame: WalkedFrame, link: _Link, name: str, form: FrameFormat, *, whole_file: bool
) -> None:
    """Refuse a file that ends inside a frame, unless it is known to be complete without it."""
    promised = link.info.frames if link.info is not None else None
    if not whole_file and (promised is None or promised > link.frames):
        raise AudioError(_cut_frame(frame, name, form))


def _check_complete(last: list[_Link], name: str) -> None:
    """Refuse a link that has fewer frames than it says; some encoders count the info frame too."""
    for link in last:
        if link.info is not None and link.info.frames and link.frames + 1 < link.info.frames:
            raise AudioError(
                f"{name}: ends early: its header promises {link.info.frames} MP3 frames, "
                f"{link.frames} are there; it was cut short, get it again"
            )


def _decode_links(
    stream: BinaryIO, name: str, form: FrameFormat, links: list[_Link]
) -> Iterator[Piece]:
    av = load_av(name)
    for link in links:
        samples = link.samples if form is MPEG_AUDIO else None
        yield from exactly(
            _decode_link(av, stream, name, form, link), name, skip=link.skip, samples=samples
        )


def _decode_late(stream: BinaryIO, name: str, link: _Link, start: int) -> Iterator[Piece]:
    """The samples of MP3 frames after the first `start`, as decoding from the first one gives them.

    A frame leans on the one before it, and on bits in a few frames before that; so decoding begins
    some frames earlier.
    """
    place = start + link.skip
    first = max(0, place // link.head.samples - _LEAD_FRAMES)
    pieces = _decode_link(load_av(name), stream, name, MPEG_AUDIO, link, first)
    skip = place - first * link.head.samples
    return exactly(pieces, name, skip=skip, samples=link.samples - start)


def _decode_link(
    av: Any, stream: BinaryIO, name: str, form: FrameFormat, link: _Link, first: int = 0
) -> Iterator[Piece]:
    """All samples of the frames of `link` from the `first` on, the decoder's delay included."""
    decoder = av.CodecContext.create(_decoder_name(form, link.head), "r")
    taker = SampleTaker(av)
    walked = FrameWalker(stream, form, name).walk(link.offset)
    if link.info is not None:
        next(walked)
    done = first * link.head.samples
    for number, frame in enumerate(islice(walked, first, link.frames)):
        try:
            frames = decoder.decode(av.Packet(frame.data))
            decoded = [piece for each in frames for piece in taker.take(each)]
        except av.FFmpegError as error:
            if not frame.seam and (first == 0 or number >= _LEAD_FRAMES):
                raise AudioError(
                    f"{name}: damaged after {done / link.head.rate:.3f} s: a frame that cannot be "
                    f"decoded, at byte {frame.offset}; get it again"
                ) from error
            decoded = []
        if not decoded and form is MPEG_AUDIO:
            # The first frames after a gap lean on those that are lost.
            channels = 1 if frame.data[3] >> 6 == 3 else 2
            decoded = [Piece(link.head.rate, _silence(channels, frame.head.samples))]
        yield from decoded
        done += frame.head.samples
    with suppress(av.FFmpegError):
        for each in decoder.decode(None):
            yield from taker.take(each)


def _silence(channels: int, samples: int) -> Any:
    return np.zeros((channels, samples), np.float32)


def _decoder_name(form: FrameFormat, head: FrameHead) -> str:
    if form is not MPEG_AUDIO:
        return "aac"
    layer = 4 - (head.kind[0] >> 1 & 3)
    return {1: "mp1float", 2: "mp2float", 3: "mp3float"}[layer]
