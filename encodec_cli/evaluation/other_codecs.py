"""Codecs of other programs, to compare with: Opus, MP3, AAC, Vorbis, if installed here.

They are given the reference as 16-bit WAV at its own rate; what they decode (Opus to floats, the
others to 16 bits, as is usual for each) is resampled to that rate and aligned with it.
"""

import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from encodec_cli.audio import open_audio_writer, read_whole
from encodec_cli.errors import EncodecCliError, UsageError, parameter
from encodec_cli.evaluation.alignment import align
from encodec_cli.evaluation.evaluate import Coded, Reference
from encodec_cli.evaluation.ogg import packet_sizes
from encodec_cli.io.temporary import temporary_folder

__all__ = ["CODECS", "OtherCodec", "find_codec", "through_codec"]

_FFMPEG = ("ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error", "-y")


@dataclass(frozen=True, kw_only=True)
class OtherCodec:
    """How a codec is run; in the commands {source}, {packed}, {decoded}, {kbps} are filled in."""

    name: str
    suffix: str
    """Of the packed file."""
    encode: tuple[str, ...]
    decode: tuple[str, ...] = (*_FFMPEG, "-i", "{packed}", "{decoded}")
    counted: str = "whole files"
    """What the bytes are, in words."""
    header_packets: int | None = None
    """Only the packets of an Ogg file count, without this many at its start; None: all bytes."""


def _by_ffmpeg(*options: str) -> tuple[str, ...]:
    return (*_FFMPEG, "-i", "{source}", *options, "-b:a", "{kbps}k", "{packed}")


_OPUS_FFMPEG = OtherCodec(
    name="opus",
    suffix=".opus",
    encode=_by_ffmpeg("-c:a", "libopus"),
    decode=(*_FFMPEG, "-i", "{packed}", "-c:a", "pcm_f32le", "{decoded}"),
    counted="audio packets without Ogg pages",
    header_packets=2,
)
_OPUS_TOOLS = OtherCodec(
    name="opus",
    suffix=".opus",
    encode=("opusenc", "--quiet", "--bitrate", "{kbps}", "{source}", "{packed}"),
    decode=("opusdec", "--quiet", "--float", "--rate", "48000", "{packed}", "{decoded}"),
    counted=_OPUS_FFMPEG.counted,
    header_packets=_OPUS_FFMPEG.header_packets,
)
_MP3 = OtherCodec(
    name="mp3",
    suffix=".mp3",
    encode=_by_ffmpeg("-c:a", "libmp3lame", "-write_xing", "0", "-id3v2_version", "0"),
    counted="files, which have no tags",
)
_AAC = OtherCodec(name="aac", suffix=".aac", encode=_by_ffmpeg("-c:a", "aac"), counted="ADTS files")
_VORBIS = OtherCodec(
    name="vorbis",
    suffix=".ogg",
    encode=_by_ffmpeg("-c:a", "libvorbis"),
    counted="audio packets without Ogg pages and codebooks",
    header_packets=3,
)

CODECS = {
    "opus": (_OPUS_TOOLS, _OPUS_FFMPEG),
    "mp3": (_MP3,),
    "aac": (_AAC,),
    "vorbis": (_VORBIS,),
}
"""By name, the ways to run a codec; the first that is installed is used."""


def find_codec(name: str) -> OtherCodec:
    """The codec `name` as its programs are installed here.

    Raises:
        UsageError: unknown, or not installed.
    """
    if name not in CODECS:
        raise UsageError(
            f"{parameter('against', name)}: no codec to compare with; known are {', '.join(CODECS)}"
        )
    programs = []
    for codec in CODECS[name]:
        needed = dict.fromkeys((codec.encode[0], codec.decode[0]))
        if all(shutil.which(program) for program in needed):
            return codec
        programs.append(" and ".join(needed))
    raise UsageError(
        f"{parameter('against', name)}: needs {', or '.join(programs)}; "
        "install that, or do without it"
    )


def through_codec(codec: OtherCodec, reference: Reference, kbps: float) -> Coded:
    """Code the reference at `kbps` kb/s, as the encoder understands it, and decode that.

    The times are those of the programs, from start to end.

    Raises:
        EncodecCliError: a program failed.
    """
    channels = reference.audio.shape[0]
    with temporary_folder() as folder:
        places = {
            "source": str(folder / "source.wav"),
            "packed": str(folder / f"packed{codec.suffix}"),
            "decoded": str(folder / "decoded.wav"),
            "kbps": f"{kbps:g}",
        }
        with open_audio_writer(Path(places["source"]), reference.sample_rate, channels) as writer:
            writer.write(reference.audio)
        encode_seconds = _run(codec.encode, places)
        decode_seconds = _run(codec.decode, places)
        decoded = read_whole(Path(places["decoded"]), reference.sample_rate, channels)
        packed = Path(places["packed"]).read_bytes()
    size = len(packed)
    if codec.header_packets is not None:
        size = sum(packet_sizes(packed)[codec.header_packets :])
    return Coded(
        codec=codec.name,
        bandwidth=kbps,
        bytes=size,
        audio=align(reference.audio, decoded, reference.sample_rate),
        encode_seconds=encode_seconds,
        decode_seconds=decode_seconds,
    )


def _run(command: tuple[str, ...], places: dict[str, str]) -> float:
    """Run `command`; the seconds it took."""
    arguments = [argument.format(**places) for argument in command]
    started = time.monotonic()
    try:
        subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    except OSError as error:
        raise EncodecCliError(f"{command[0]}: cannot be run: {error.strerror}") from error
    except subprocess.CalledProcessError as error:
        words = error.stderr.decode(errors="replace").strip().splitlines()
        why = words[-1] if words else f"exit code {error.returncode}"
        raise EncodecCliError(f"{command[0]} at {places['kbps']} kb/s: {why}") from error
    return time.monotonic() - started
