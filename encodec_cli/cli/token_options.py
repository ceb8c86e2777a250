"""Options of `tokens` that say what is written, and where."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from encodec_cli.errors import UsageError

if TYPE_CHECKING:
    from encodec_cli.tokens import Arrangement, ColumnKinds, TokenTarget

__all__ = [
    "Bos",
    "CodeDType",
    "CodeDTypeName",
    "Eos",
    "FirstCode",
    "Flat",
    "FlatName",
    "Layout",
    "LayoutName",
    "OutputFolder",
    "Pattern",
    "Separator",
    "ShardSize",
    "Special",
    "To",
    "TokenFormat",
    "TokenOutput",
    "WrittenPattern",
    "token_output",
]

ARRANGEMENT = "Arrangement of the codes"
_DEFAULT_SHARD_MB = 100.0


class TokenFormat(StrEnum):
    npz = "npz"
    safetensors = "safetensors"
    parquet = "parquet"
    webdataset = "webdataset"
    shar = "shar"
    jsonl = "jsonl"


class LayoutName(StrEnum):
    kt = "KT"
    tk = "TK"


class CodeDTypeName(StrEnum):
    uint16 = "uint16"
    int16 = "int16"
    int32 = "int32"
    int64 = "int64"


class WrittenPattern(StrEnum):
    none = "none"
    delay = "delay"


class FlatName(StrEnum):
    frames = "frames"
    books = "books"


To = Annotated[TokenFormat, typer.Option(help="File format; see docs/tokens.md.")]
OutputFolder = Annotated[
    Path, typer.Option("--output-dir", "-o", metavar="FOLDER", help="Folder for the outputs.")
]
ShardSize = Annotated[
    float | None,
    typer.Option(
        metavar="MB",
        help="Codes in a shard (parquet, webdataset, shar, jsonl): MB at two bytes each; "
        f"{_DEFAULT_SHARD_MB:g} unless given.",
    ),
]
Layout = Annotated[
    LayoutName | None,
    typer.Option(
        help="Axes: KT, codebooks first, or TK; KT unless given, TK for shar.",
        rich_help_panel=ARRANGEMENT,
    ),
]
CodeDType = Annotated[
    CodeDTypeName | None,
    typer.Option(
        "--code-dtype",
        help="Type of the codes; uint16 unless given. JSON has none.",
        rich_help_panel=ARRANGEMENT,
    ),
]
Pattern = Annotated[
    WrittenPattern,
    typer.Option(
        help="delay: codebook k comes k frames late, as in MusicGen.",
        rich_help_panel=ARRANGEMENT,
    ),
]
Special = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="What stands where the delay pattern has no code; the number of codes in a codebook "
        "unless given.",
        rich_help_panel=ARRANGEMENT,
    ),
]
Flat = Annotated[
    FlatName | None,
    typer.Option(
        help="One list, frame after frame or codebook after codebook, an offset for each codebook.",
        rich_help_panel=ARRANGEMENT,
    ),
]
FirstCode = Annotated[
    int,
    typer.Option(
        "--offset",
        metavar="N",
        help="The number of the first code of the first codebook, with --flat.",
        rich_help_panel=ARRANGEMENT,
    ),
]
Separator = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="A number between frames, or codebooks, with --flat.",
        rich_help_panel=ARRANGEMENT,
    ),
]
Bos = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="A number before all others, with --flat.", rich_help_panel=ARRANGEMENT
    ),
]
Eos = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="A number after all others, with --flat.", rich_help_panel=ARRANGEMENT
    ),
]


@dataclass(frozen=True)
class TokenOutput:
    """What `tokens` writes.

    Attributes:
        folder: where.
        to: the format.
        arrangement: of the codes.
        most_bytes: of codes, two bytes each, that close a shard; None for a file per item.
    """

    folder: Path
    to: TokenFormat
    arrangement: "Arrangement"
    most_bytes: float | None

    def target(self, kinds: "ColumnKinds | None", *, force: bool) -> "TokenTarget":
        """Where a run puts its items; `kinds` are those of the corpus' columns, if known."""
        from encodec_cli.tokens import FileTarget, ShardTarget

        if self.most_bytes is None:
            return FileTarget(self.folder, self.to.value, self.arrangement, force)
        return ShardTarget(self.folder, self.to.value, self.arrangement, kinds)


def token_output(
    to: TokenFormat, folder: Path, shard_size: float | None, arrangement: "Arrangement"
) -> TokenOutput:
    """What the options say.

    Raises:
        UsageError: options that do not go together, or out of range.
    """
    from encodec_cli.tokens import SINGLE_FORMATS, check_arrangement

    check_arrangement(to.value, arrangement)
    if to.value in SINGLE_FORMATS:
        if shard_size is not None:
            raise UsageError("--shard-size: is for --to parquet, webdataset, shar and jsonl")
        return TokenOutput(folder, to, arrangement, None)
    size = _DEFAULT_SHARD_MB if shard_size is None else shard_size
    if not 0 < size < 1e6:
        raise UsageError(f"--shard-size {size:g}: give MB above 0, below a million")
    return TokenOutput(folder, to, arrangement, size * 1e6)
