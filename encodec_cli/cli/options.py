"""Options that several commands take, declared once."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from encodec_cli.cli.completion import complete_language_models, complete_models

__all__ = [
    "NQ",
    "Against",
    "Bandwidth",
    "Bandwidths",
    "CodeModel",
    "DType",
    "DTypeName",
    "Device",
    "Force",
    "Json",
    "LanguageModel",
    "Model",
    "ModelConfig",
    "OutputDir",
    "Quiet",
    "Recursive",
    "Search",
    "SkipExisting",
    "Speech",
    "Threads",
    "Verbose",
]


class DTypeName(StrEnum):
    fp32 = "fp32"
    bf16 = "bf16"


Bandwidth = Annotated[
    float | None, typer.Option("--bandwidth", "-b", metavar="KBPS", help="Rate in kb/s.")
]
Bandwidths = Annotated[
    str | None,
    typer.Option(
        "--bandwidths",
        "-b",
        metavar="KBPS,...",
        help="Rates in kb/s, or none.",
        show_default="the model's",
    ),
]
Against = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CODEC:KBPS,...",
        help="Compare with opus (opusenc, or ffmpeg), mp3, aac, vorbis (ffmpeg): opus:6,12.",
    ),
]
Speech = Annotated[
    bool | None,
    typer.Option(
        "--speech/--no-speech",
        help="ESTOI and PESQ for all, or none.",
        show_default="all but music, sound and noise",
    ),
]
NQ = Annotated[int | None, typer.Option("--n-q", metavar="N", help="Number of codebooks instead.")]
Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        autocompletion=complete_models,
        help="A bundled model's name, or a path: ours, Meta's .th, Hugging Face's, audiocraft's.",
    ),
]
ModelConfig = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="YAML",
        help="What another program's weights do not tell: rate, causal or not, padding, segments.",
    ),
]
LanguageModel = Annotated[
    str | None,
    typer.Option(
        "--lm",
        metavar="MODEL",
        autocompletion=complete_language_models,
        help="v0: Meta's language model (encodec_lm_*.th); slow, smaller.",
    ),
]
CodeModel = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Code model, for the entropy coding of v2; a *.codes.safetensors.",
        show_default="beside the model, or bundled",
    ),
]
Force = Annotated[
    bool,
    typer.Option("--force", "-f", help="Overwrite existing files; through links, which stay."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only errors and warnings.")]
Json = Annotated[bool, typer.Option("--json", help="One line of JSON per file on stdout.")]
Search = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=256,
        metavar="N",
        help="Encoder keeps the N best code sequences: more are slower, a little better.",
        show_default="the model's",
    ),
]
Device = Annotated[
    str, typer.Option(help="cpu, cuda, cuda:1, mps, or auto: a GPU if there is one.")
]
DType = Annotated[
    DTypeName,
    typer.Option("--dtype", help="bf16: half precision, faster where the device has it."),
]
Threads = Annotated[
    int | None,
    typer.Option(min=1, max=1024, metavar="N", help="CPU threads.", show_default="all cores"),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say what the model runs on.")]
OutputDir = Annotated[
    Path | None, typer.Option("--output-dir", "-o", help="Folder for the outputs of many inputs.")
]
Recursive = Annotated[
    bool, typer.Option("--recursive", "-r", help="Take the files inside folders, at any depth.")
]
SkipExisting = Annotated[
    bool, typer.Option("--skip-existing", help="Skip outputs that are there: resume a batch.")
]
