"""Options that several commands take, declared once."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from encodec_cli.cli.completion import complete_language_models, complete_models

__all__ = [
    "CODING",
    "MACHINE",
    "MANY",
    "NQ",
    "OUTPUT",
    "SAID",
    "Against",
    "Bandwidth",
    "Bandwidths",
    "CodeModel",
    "DType",
    "DTypeName",
    "DeleteInput",
    "Device",
    "DryRun",
    "Force",
    "Json",
    "KeepSuffix",
    "LanguageModel",
    "Model",
    "ModelConfig",
    "NoTags",
    "OutputDir",
    "Progress",
    "Quiet",
    "Recursive",
    "Search",
    "SkipExisting",
    "Speech",
    "TagList",
    "Threads",
    "UsualBandwidth",
    "Verbose",
]

CODING = "Coding"
OUTPUT = "Output"
MANY = "Many files"
SAID = "What is said"
MACHINE = "Machine"


class DTypeName(StrEnum):
    fp32 = "fp32"
    bf16 = "bf16"


Bandwidth = Annotated[
    float | None,
    typer.Option(
        "--bandwidth",
        "-b",
        metavar="KBPS",
        help="Rate in kb/s; the most codebooks that fit, see models show.",
        rich_help_panel=CODING,
    ),
]
UsualBandwidth = Annotated[
    float | None,
    typer.Option(
        "--bandwidth",
        "-b",
        metavar="KBPS",
        envvar="ENCODEC_CLI_BANDWIDTH",
        help="Rate in kb/s; the most codebooks that fit, see models show; about 6 unless given.",
        rich_help_panel=CODING,
    ),
]
"""For commands that encode: --n-q goes before the environment, see `option_values.rate_choice`."""
Bandwidths = Annotated[
    str | None,
    typer.Option(
        "--bandwidths",
        "-b",
        metavar="KBPS,...",
        help="Rates in kb/s, or none; the model's unless given.",
        show_default=False,
        rich_help_panel=CODING,
    ),
]
Against = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CODEC:KBPS,...",
        help="Compare with opus (opusenc, or ffmpeg), mp3, aac, vorbis (ffmpeg): opus:6,12.",
        rich_help_panel=CODING,
    ),
]
Speech = Annotated[
    bool | None,
    typer.Option(
        "--speech/--no-speech",
        help="ESTOI and PESQ for all, or none; for all but music, sound and noise unless given.",
        show_default=False,
        rich_help_panel=CODING,
    ),
]
NQ = Annotated[
    int | None,
    typer.Option(
        "--n-q",
        metavar="N",
        help="Rate as a number of codebooks, 1 and up, instead of kb/s.",
        rich_help_panel=CODING,
    ),
]
Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        envvar="ENCODEC_CLI_MODEL",
        autocompletion=complete_models,
        help="A bundled model's name, or a path: ours, Meta's .th, Hugging Face's, audiocraft's.",
        rich_help_panel=CODING,
    ),
]
ModelConfig = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="YAML",
        help="What another program's weights do not tell: rate, causal or not, padding, segments.",
        rich_help_panel=CODING,
    ),
]
LanguageModel = Annotated[
    str | None,
    typer.Option(
        "--lm",
        metavar="MODEL",
        autocompletion=complete_language_models,
        help="v0: Meta's language model (encodec_lm_*.th); slow, smaller.",
        rich_help_panel=CODING,
    ),
]
CodeModel = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Code model, for the entropy coding of v2; beside the model or bundled unless given.",
        rich_help_panel=CODING,
    ),
]
Force = Annotated[
    bool,
    typer.Option(
        "--force",
        "-f",
        help="Overwrite existing files; through links, which stay.",
        rich_help_panel=OUTPUT,
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Only errors and warnings.", rich_help_panel=SAID)
]
Json = Annotated[
    bool,
    typer.Option(
        "--json",
        help="One line of JSON per file on stdout; of many, a summary is last.",
        rich_help_panel=SAID,
    ),
]
Search = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=256,
        metavar="N",
        help="Encoder keeps the N best code sequences: more are slower, a little better; 1 to 256, "
        "the model's number unless given.",
        show_default=False,
        rich_help_panel=CODING,
    ),
]
Refine = Annotated[
    bool,
    typer.Option(
        "--refine",
        help="Correct what is coded once by how it decodes: better from 6 kb/s on, 1.6 times as "
        "long.",
        rich_help_panel=CODING,
    ),
]
Fit = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=1000,
        metavar="STEPS",
        help="Refine, then fit what is coded to the recording by so many steps through the "
        "decoder: 1 takes 2 to 3 times as long, 4 take 4 to 6 times and are better. For models "
        "that code whole signals.",
        show_default=False,
        rich_help_panel=CODING,
    ),
]
Device = Annotated[
    str,
    typer.Option(
        envvar="ENCODEC_CLI_DEVICE",
        help="cpu, cuda, cuda:1, mps, or auto: a GPU if there is one.",
        rich_help_panel=MACHINE,
    ),
]
DType = Annotated[
    DTypeName,
    typer.Option(
        "--dtype",
        help="bf16: half precision, faster where the device has it.",
        rich_help_panel=MACHINE,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=1024,
        metavar="N",
        envvar="ENCODEC_CLI_THREADS",
        help="CPU threads, 1 to 1024; all cores unless given.",
        show_default=False,
        rich_help_panel=MACHINE,
    ),
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Say what the model runs on.", rich_help_panel=SAID)
]
OutputDir = Annotated[
    Path | None,
    typer.Option(
        "--output-dir", "-o", help="Folder for the outputs of many inputs.", rich_help_panel=MANY
    ),
]
Recursive = Annotated[
    bool,
    typer.Option(
        "--recursive",
        "-r",
        help="Take the files inside folders, at any depth.",
        rich_help_panel=MANY,
    ),
]
SkipExisting = Annotated[
    bool,
    typer.Option(
        "--skip-existing", help="Skip outputs that are there: resume a batch.", rich_help_panel=MANY
    ),
]
KeepSuffix = Annotated[
    bool,
    typer.Option(
        "--keep-suffix",
        help="Keep the inputs' suffixes in the names of outputs: talk.mp3.ecdc.",
        rich_help_panel=MANY,
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Only say what would be made from what.", rich_help_panel=OUTPUT
    ),
]
DeleteInput = Annotated[
    bool,
    typer.Option(
        "--delete-input",
        help="Delete each input once its output was read back and found whole.",
        rich_help_panel=OUTPUT,
    ),
]
Progress = Annotated[
    bool,
    typer.Option(
        "--progress",
        help="A line on stderr every 30 s where no terminal shows a bar.",
        rich_help_panel=SAID,
    ),
]
TagList = Annotated[
    list[str] | None,
    typer.Option(
        "--tag",
        metavar="KEY=VALUE",
        help="Store this tag too (title, artist, album, date, track, genre, comment ...); "
        "nothing after = removes it. Repeatable.",
        rich_help_panel=OUTPUT,
    ),
]
NoTags = Annotated[bool, typer.Option("--no-tags", help="Store no tags.", rich_help_panel=OUTPUT)]
