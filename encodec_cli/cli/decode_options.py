"""Options of `decode`: what the audio is to be, which part, and what token files do not say."""

from enum import StrEnum
from typing import Annotated, Literal

import typer

from encodec_cli.cli.options import CODING, OUTPUT
from encodec_cli.cli.token_decoding import PatternName
from encodec_cli.cli.token_options import LayoutName
from encodec_cli.errors import UsageError

__all__ = [
    "AudioFormat",
    "AudioFormatName",
    "Conceal",
    "Duration",
    "Encoding",
    "EncodingName",
    "Layout",
    "Legacy",
    "LegacyProgram",
    "Offset",
    "OutputRate",
    "Pattern",
    "Rescale",
    "Separator",
    "Start",
    "parse_rate",
]


class LegacyProgram(StrEnum):
    encodec_cpp = "encodec-cpp"
    encodec_stream = "encodec-stream"


class AudioFormatName(StrEnum):
    wav = "wav"
    flac = "flac"
    ogg = "ogg"


class EncodingName(StrEnum):
    pcm16 = "pcm16"
    pcm24 = "pcm24"
    float = "float"


OutputRate = Annotated[
    str | None,
    typer.Option(
        metavar="HZ|source",
        help="1000 to 768000; source: the input's own rate and length; the model's unless given.",
        rich_help_panel=OUTPUT,
    ),
]
AudioFormat = Annotated[
    AudioFormatName | None,
    typer.Option(
        help="Format of the audio; by OUT's suffix unless given, else wav.",
        rich_help_panel=OUTPUT,
    ),
]
Encoding = Annotated[
    EncodingName | None,
    typer.Option(
        help="Sample format of WAV and FLAC; pcm16 unless given.",
        rich_help_panel=OUTPUT,
    ),
]
Rescale = Annotated[
    bool,
    typer.Option(
        "--rescale",
        help="Lower the level rather than clip peaks.",
        rich_help_panel=OUTPUT,
    ),
]
Conceal = Annotated[
    bool,
    typer.Option(
        "--conceal",
        help="Put silence in place of damage; exit code 1 all the same.",
        rich_help_panel=CODING,
    ),
]
Start = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Decode from here on: seconds, mm:ss or hh:mm:ss.",
        rich_help_panel=CODING,
    ),
]
Duration = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Decode that much; to the end unless given.",
        rich_help_panel=CODING,
    ),
]
Legacy = Annotated[
    LegacyProgram | None,
    typer.Option(
        help="Read files of this program, which resemble format 0.",
        rich_help_panel=CODING,
    ),
]
Pattern = Annotated[
    PatternName | None,
    typer.Option(
        help="Undo MusicGen's delay pattern (token files).",
        rich_help_panel=CODING,
    ),
]
Layout = Annotated[
    LayoutName | None,
    typer.Option(
        help="Token files: codebooks by frames, or frames by codebooks.",
        rich_help_panel=CODING,
    ),
]
Offset = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=1 << 40,
        metavar="N",
        help="Token files with numbers per codebook: the first one's.",
        show_default="0",
        rich_help_panel=CODING,
    ),
]
Separator = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Flat token files: the number between frames or codebooks.",
        rich_help_panel=CODING,
    ),
]


def parse_rate(text: str | None) -> int | Literal["source"] | None:
    """What `--sample-rate` says, in Hz.

    Raises:
        UsageError: no rate, or one out of range.
    """
    if text is None:
        return None
    if text == "source":
        return "source"
    try:
        rate = int(text)
    except ValueError:
        rate = 0
    if not 1000 <= rate <= 768000:
        raise UsageError(f"--sample-rate {text}: give 1000 to 768000 Hz, or source")
    return rate
