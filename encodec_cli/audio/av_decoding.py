"""FFmpeg's decoders, through PyAV; imported only when a file needs them.

    open_container -> Container.pieces -> pieces (rate, [C, n]) -> FrameSource

Nothing of FFmpeg reaches the terminal: PyAV is told to drop its messages.
"""

import math
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from functools import cache
from itertools import chain
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from encodec_cli.audio.samples import FloatBlock, as_float32
from encodec_cli.errors import AudioError

__all__ = ["Container", "Piece", "SampleTaker", "load_av", "open_container"]

_MOST_PLANES = 8
# What may be opened, and what may be decoded. Without the first list a text file could be taken
# for a playlist, and name other files or hosts; without the second, pictures would be decoded in
# search of their size.
_CONTAINERS = (
    "3dostr,4xm,aa,aac,aax,ac3,ace,acm,adp,ads,adx,aea,aiff,aix,alp,amr,amrnb,amrwb,apac,ape,apc,"
    "apm,argo_asf,argo_brp,asf,ast,au,avi,avr,bfstm,bink,binka,boa,bonk,brstm,caf,codec2,dcstr,"
    "derf,dhav,dsf,dss,dts,dtshd,dxa,ea,eac3,epaf,fwse,flac,flv,fsb,genh,gsm,gxf,hca,hcom,idcin,"
    "iff,ilbc,ipmovie,ircam,iss,ivr,kux,kvag,laf,live_flv,loas,lxf,matroska,webm,mca,mlp,mmf,"
    "mods,moflex,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpc,mpc8,mpeg,mpegts,msf,mtaf,mtv,musx,mv,mxf,"
    "nistsphere,nsp,nsv,nut,nuv,ogg,oma,osq,paf,pva,pvf,qcp,qoa,rka,rl2,rm,roq,rpl,rso,sbc,sds,"
    "sdx,shn,siff,smjpeg,smk,smush,sol,sox,spdif,svag,svs,swf,tak,thp,truehd,tta,txd,ty,vag,vivo,"
    "vividas,vmd,voc,vqf,w64,wav,wavarc,wc3movie,wsaud,wsd,wsvqa,wtv,wv,wve,xa,xmv,xvag,xwma,yop"
)


_LEAD_SECONDS = {"mp3": 2.5, "mp3float": 2.5}
"""After which a lossy decoder gives the same bits, wherever it began: 32 frames at 8 kHz."""
_LOSSLESS = ("alac", "flac", "tta", "wavpack", "pcm_")


class Piece(NamedTuple):
    """Decoded audio [C, n] at `rate` Hz."""

    rate: int
    samples: FloatBlock


def load_av(name: str) -> Any:
    """The module `av`, silent; `name` is the file that needs it.

    Raises:
        AudioError: PyAV is not installed.
    """
    try:
        import av
        import av.logging
    except ImportError as error:
        raise AudioError(
            f"{name}: needs PyAV, which is not installed; run: pip install av"
        ) from error
    av.logging.set_level(None)
    return av


class SampleTaker:
    """Takes the samples out of the frames of one stream."""

    def __init__(self, av: Any) -> None:
        self._av = av
        self._packer: tuple[object, Any] | None = None

    def take(self, frame: Any) -> list[Piece]:
        """What a decoded `frame` holds, in linear range [-1, 1]."""
        channels = len(frame.layout.channels)
        if not frame.format.is_planar or channels < _MOST_PLANES:
            return [_piece(frame, channels)]
        return [_piece(packed, channels) for packed in self._pack(frame)]

    def _pack(self, frame: Any) -> Any:
        """`frame` interleaved: of eight planes and more PyAV reads memory that is not theirs."""
        layout = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._packer is None or self._packer[0] != layout:
            resampler = self._av.AudioResampler(
                format=frame.format.packed, layout=frame.layout, rate=frame.sample_rate
            )
            self._packer = (layout, resampler)
        return self._packer[1].resample(frame)


def _piece(frame: Any, channels: int) -> Piece:
    data = frame.to_ndarray()
    if not frame.format.is_planar:
        data = data.reshape(-1, channels).T
    if data.dtype == np.uint8:
        samples = (data.astype(np.float32) - 128.0) / np.float32(2**7)
    elif np.issubdtype(data.dtype, np.integer):
        full_scale = float(2 ** (8 * data.dtype.itemsize - 1))
        samples = (data / full_scale).astype(np.float32)
    else:
        samples = as_float32(data)
    return Piece(int(frame.sample_rate), samples)


class Container:
    """The first sound of a container that FFmpeg opened.

    Attributes:
        format: FFmpeg's name of the container.
        codec: and of the codec.
        rate: Hz that the container says; 0 if it does not.
        samples: samples per channel that it says there are; None if it does not.
        packets: packets of the stream, likewise.
        metadata: its tags.
    """

    def __init__(self, av: Any, container: Any, stream: Any, name: str) -> None:
        self._av = av
        self._container = container
        self._stream = stream
        self._name = name
        self.format = str(container.format.name)
        self.codec = str(stream.codec_context.name)
        self.rate = int(stream.codec_context.sample_rate or 0)
        self._seconds = 0.0  # decoded so far
        self._in_lead = False
        self.samples: int | None = None
        if stream.duration and self.rate:
            self.samples = round(stream.duration * stream.time_base * self.rate)
        self.packets = int(stream.frames) or None
        self.metadata = {**container.metadata, **stream.metadata}

    def pieces(self, *, untrimmed: bool = False) -> Iterator[Piece]:
        """All of it, decoded; what the container says to be padding only if `untrimmed`.

        Raises:
            AudioError: a packet is damaged, cut short or missing.
            OSError: the file failed.
        """
        if untrimmed:
            self._stream.codec_context.flags2 |= self._av.codec.context.Flags2.skip_manual
        return self._taken(self._frames())

    def late_pieces(self, start: int) -> Iterator[Piece] | None:
        """What follows the first `start` samples of each channel, decoded from shortly before.

        None, and closed, if times do not name samples. Only for codecs that forget.

        Raises:
            AudioError: see `pieces`.
        """
        landed = self._land(start)
        if landed is None:
            self.close()
            return None
        frames, skip = landed
        return _without(self._taken(frames), skip)

    def _land(self, start: int) -> tuple[Iterator[Any], int] | None:
        """Frames from the one with sample `start` on, and how many of its samples come before."""
        first = next(self._frames(), None)
        origin = None if first is None else _time(first)
        if first is None or origin is None:
            return None
        rate = int(first.sample_rate)
        begin = max(0, start - round(_LEAD_SECONDS.get(self.codec, 0) * rate))
        self._in_lead = True
        try:
            time = origin + Fraction(begin, rate)
            self._container.seek(math.floor(time / self._stream.time_base), stream=self._stream)
        except self._av.FFmpegError:
            return None
        frames = self._frames()
        latest = begin
        for frame in frames:
            position = _position(frame, origin, rate)
            if position is None or position > latest:
                return None
            if position + frame.samples > start:
                self._in_lead, self._seconds = False, start / rate
                return chain([frame], frames), start - position
            latest = start
        return iter(()), 0

    def _taken(self, frames: Iterator[Any]) -> Iterator[Piece]:
        taker = SampleTaker(self._av)
        try:
            for frame in frames:
                yield from taker.take(frame)
        finally:
            self.close()

    def _frames(self) -> Iterator[Any]:
        """Decoded frames from where the container stands."""
        try:
            for packet in self._container.demux(self._stream):
                if packet.size == 0 and packet.dts is not None:
                    continue  # only side data; an empty packet without a time is the end
                if packet.is_corrupt:
                    raise AudioError(self._damaged("a packet is not whole"))
                yield from self._decoded(packet)
        except self._av.FFmpegError as error:
            raise AudioError(self._damaged(str(error.strerror))) from error

    def _decoded(self, packet: Any) -> Iterator[Any]:
        try:
            frames = packet.decode()
        except self._av.FFmpegError:
            if self._in_lead:  # it leans on packets from before
                return
            raise
        for frame in frames:
            self._seconds += frame.samples / (frame.sample_rate or 1)
            yield frame

    @property
    def forgets(self) -> bool:
        """Whether the decoder gives the same samples if it begins shortly before them."""
        return self.codec.startswith(_LOSSLESS) or self.codec in _LEAD_SECONDS

    def close(self) -> None:
        """Let FFmpeg's memory go; the file stays open."""
        self._container.close()

    def _damaged(self, reason: str) -> str:
        return (
            f"{self._name}: damaged or cut short after {self._seconds:.3f} s "
            f"({self.codec}: {reason}); get it again"
        )


def _time(frame: Any) -> Fraction | None:
    """When `frame` begins, in seconds; None if it does not say."""
    if frame.pts is None or not frame.time_base:
        return None
    return Fraction(frame.pts * frame.time_base)


def _position(frame: Any, origin: Fraction, rate: int) -> int | None:
    """Samples between the time `origin` and `frame`; None if its time does not name a sample."""
    time = _time(frame)
    if time is None or frame.sample_rate != rate:
        return None
    position = (time - origin) * rate
    return int(position) if position.denominator == 1 else None


def _without(pieces: Iterator[Piece], skip: int) -> Iterator[Piece]:
    """`pieces` without the first `skip` samples, which lie in the first of them."""
    for rate, samples in pieces:
        if skip < samples.shape[1]:
            yield Piece(rate, samples[:, skip:])
        skip = max(0, skip - samples.shape[1])


def open_container(stream: BinaryIO, name: str, forms: str = _CONTAINERS) -> Container | None:
    """What FFmpeg finds in `stream`, among the containers `forms`; None if it is none of them.

    Raises:
        AudioError: a container without sound, with a codec that FFmpeg lacks, or encrypted; PyAV
            is missing.
    """
    av = load_av(name)
    options = {"format_whitelist": forms, "codec_whitelist": _sound_codecs(av)}
    try:
        container = av.open(stream, options=options, metadata_errors="replace")
    except (av.FFmpegError, ValueError):
        return None
    sound = next(iter(container.streams.audio), None)
    if sound is None:
        form = container.format.name
        container.close()
        raise AudioError(f"{name}: holds no sound (FFmpeg reads it as {form}); name another file")
    if sound.codec_context is None or not sound.codec_context.name:
        container.close()
        raise AudioError(f"{name}: cannot be decoded: its codec is not supported, by FFmpeg either")
    return Container(av, container, sound, name)


@cache
def _sound_codecs(av: Any) -> str:
    """Names of all decoders of sound."""
    found = []
    for codec in av.codecs_available:
        with suppress(ValueError):
            if av.codec.Codec(codec, "r").type == "audio":
                found.append(codec)
    return ",".join(found)
