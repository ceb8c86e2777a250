"""Which files the writer makes, and how a name or an option chooses one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from encodec_cli.errors import UsageError, parameter

__all__ = ["AudioFormat", "Encoding", "OutputFormat", "choose_format"]

AudioFormat = Literal["wav", "flac", "ogg"]
Encoding = Literal["pcm16", "pcm24", "float"]

_SUFFIXES: dict[str, AudioFormat] = {
    ".wav": "wav",
    ".wave": "wav",
    ".flac": "flac",
    ".ogg": "ogg",
    ".oga": "ogg",
}


@dataclass(frozen=True)
class OutputFormat:
    """A container and how samples are stored in it; `encoding` is None for Ogg Vorbis."""

    container: AudioFormat
    encoding: Encoding | None


def choose_format(
    target: Path | Literal["-"], audio_format: AudioFormat | None, encoding: Encoding | None
) -> OutputFormat:
    """What to write to `target`: by `audio_format`, else by suffix; "-" (stdout) is always WAV.

    `encoding` None means pcm16 (or Vorbis, which has no choice). Call it early: it needs no file.

    Raises:
        UsageError: unknown suffix or format, or an encoding the format cannot hold.
    """
    if encoding is not None and encoding not in get_args(Encoding):
        raise UsageError(f"unknown encoding {encoding!r}; choose pcm16, pcm24 or float")
    if audio_format is not None and audio_format not in get_args(AudioFormat):
        raise UsageError(f"unknown audio format {audio_format!r}; choose wav, flac or ogg")
    if target == "-":
        if audio_format not in (None, "wav"):
            raise UsageError(f"stdout carries WAV only, not {audio_format}; name a file instead")
        container: AudioFormat = "wav"
    else:
        container = audio_format or _by_suffix(target)
    if container == "ogg":
        if encoding is not None:
            raise UsageError(f"{target}: Ogg Vorbis has no encoding {encoding}; leave it out")
        return OutputFormat("ogg", None)
    if container == "flac" and encoding == "float":
        raise UsageError(f"{target}: FLAC stores no float samples; use pcm16, pcm24 or WAV")
    return OutputFormat(container, encoding or "pcm16")


def _by_suffix(target: Path) -> AudioFormat:
    container = _SUFFIXES.get(target.suffix.lower())
    if container is None:
        allowed = ", ".join(_SUFFIXES)
        raise UsageError(
            f"{target}: unknown suffix {target.suffix!r}; use one of {allowed}, "
            f"or {parameter('audio_format')}"
        )
    return container
