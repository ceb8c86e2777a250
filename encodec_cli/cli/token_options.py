"""Options of `tokens` that say what is written, and where."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from encodec_cli.errors import UsageError

if TYPE_CHECKING:
    from encodec_cli.tokens.shards import TokenTarget

__all__ = ["OutputFolder", "ShardSize", "To", "TokenFormat", "TokenOutput", "token_output"]

_DEFAULT_SHARD_MB = 100.0


class TokenFormat(StrEnum):
    npz = "npz"
    safetensors = "safetensors"
    parquet = "parquet"
    webdataset = "webdataset"


To = Annotated[TokenFormat, typer.Option(help="File format; see docs/tokens.md.")]
OutputFolder = Annotated[
    Path, typer.Option("--output-dir", "-o", metavar="FOLDER", help="Folder for the outputs.")
]
ShardSize = Annotated[
    float | None,
    typer.Option(
        metavar="MB",
        help="Codes in a shard (parquet, webdataset): MB at two bytes each; "
        f"{_DEFAULT_SHARD_MB:g} unless given.",
    ),
]


@dataclass(frozen=True)
class TokenOutput:
    """What `tokens` writes.

    Attributes:
        folder: where.
        suffix: of the files, with its dot.
        most_bytes: of codes, two bytes each, that close a shard; None for a file per item.
    """

    folder: Path
    suffix: str
    most_bytes: float | None

    def target(self, *, force: bool) -> "TokenTarget":
        """Where a run puts its items."""
        from encodec_cli.tokens.shards import FileTarget, ShardTarget

        if self.most_bytes is None:
            return FileTarget(self.folder, self.suffix, force)
        return ShardTarget(self.folder, self.suffix)


def token_output(to: TokenFormat, folder: Path, shard_size: float | None) -> TokenOutput:
    """What the options say.

    Raises:
        UsageError: options that do not go together, or out of range.
    """
    sharded = to in (TokenFormat.parquet, TokenFormat.webdataset)
    suffix = ".tar" if to is TokenFormat.webdataset else f".{to.value}"
    if not sharded:
        if shard_size is not None:
            raise UsageError("--shard-size: is for --to parquet and webdataset")
        return TokenOutput(folder, suffix, None)
    size = _DEFAULT_SHARD_MB if shard_size is None else shard_size
    if not 0 < size < 1e6:
        raise UsageError(f"--shard-size {size:g}: give MB above 0, below a million")
    return TokenOutput(folder, suffix, size * 1e6)
