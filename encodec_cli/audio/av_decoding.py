"""FFmpeg's decoders, through PyAV; imported only when a file needs them.

    open_container -> Container.pieces -> pieces (rate, [C, n]) -> FrameSource

Nothing of FFmpeg reaches the terminal: PyAV is told to drop its messages.
"""

from collections.abc import Iterator
from contextlib import suppress
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
        done = 0
        rate = self.rate or 1
        taker = SampleTaker(self._av)
        if untrimmed:
            self._stream.codec_context.flags2 |= self._av.codec.context.Flags2.skip_manual
        try:
            for packet in self._container.demux(self._stream):
                if packet.size == 0 and packet.dts is not None:
                    continue  # only side data; an empty packet without a time is the end
                if packet.is_corrupt:
                    raise AudioError(self._damaged(done / rate, "a packet is not whole"))
                for piece in chain.from_iterable(map(taker.take, packet.decode())):
                    rate = piece.rate
                    done += piece.samples.shape[1]
                    yield piece
        except self._av.FFmpegError as error:
            raise AudioError(self._damaged(done / rate, str(error.strerror))) from error
        finally:
            self.close()

    def close(self) -> None:
        """Let FFmpeg's memory go; the file stays open."""
        self._container.close()

    def _damaged(self, seconds: float, reason: str) -> str:
        return (
            f"{self._name}: damaged or cut short after {seconds:.3f} s "
            f"({self.codec}: {reason}); get it again"
        )


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
