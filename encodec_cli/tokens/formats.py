"""The formats that tokens are written in: files of one recording, and shards of many."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Protocol

from encodec_cli.errors import ContainerError, UsageError, parameter
from encodec_cli.tokens.columns import ColumnKinds
from encodec_cli.tokens.item import TokenItem
from encodec_cli.tokens.jsonl import JsonLinesShard, jsonl_keys
from encodec_cli.tokens.npz import write_npz
from encodec_cli.tokens.parquet import parquet_keys
from encodec_cli.tokens.parquet_writing import ParquetShard
from encodec_cli.tokens.shar import SharShard, shar_keys
from encodec_cli.tokens.tar import TarShard, tar_keys
from encodec_cli.tokens.tensors import write_safetensors
from encodec_cli.tokens.writing import Arrangement

__all__ = [
    "SHARD_FORMATS",
    "SINGLE_FORMATS",
    "Shard",
    "ShardFormat",
    "SingleFormat",
    "check_arrangement",
]


class Shard(Protocol):
    """Files being filled with items."""

    def add(self, item: TokenItem) -> None:
        """Append an item.

        Raises:
            UsageError: its codes cannot be arranged so; those of no item like it can.
            ContainerError: this item cannot be written, and nothing of it was.
        """

    def finish(self) -> None:
        """Complete the files. Mandatory, and the last call."""


_Begin = Callable[[Sequence[BinaryIO], Arrangement, ColumnKinds | None], Shard]


@dataclass(frozen=True)
class ShardFormat:
    """A format of numbered shards, each of one file or several.

    Attributes:
        files: their names below the output folder, "{}" for the number. The first is to appear
            last: where it is, the shard is complete.
    """

    files: tuple[str, ...]
    _begin: _Begin
    _keys: Callable[[Path], list[str]]

    def open(
        self,
        files: Sequence[BinaryIO],
        arrangement: Arrangement,
        kinds: ColumnKinds | None = None,
    ) -> Shard:
        """Begin a shard in open `files`, in the order of `self.files`.

        `kinds` are those of the corpus's columns; where they are not known, a Parquet shard is
        held in memory until it is complete.

        Raises:
            UsageError: a package that the format needs is missing, or an `arrangement` that it does
                not have.
        """
        return self._begin(files, arrangement, kinds)

    def keys(self, path: Path) -> list[str]:
        """Keys of the items in a shard, in order; `path` is the first of its files.

        Raises:
            ContainerError: missing, damaged, or not of that format; `path` is named.
        """
        try:
            return self._keys(path)
        except ContainerError as error:
            raise error.about(path) from error
        except OSError as error:
            raise ContainerError(f"{path}: cannot read: {error.strerror or error}") from error


@dataclass(frozen=True)
class SingleFormat:
    """A format of files of one recording.

    Attributes:
        suffix: of their names.
        write: writes an item; raises as `row_of` does.
    """

    suffix: str
    write: Callable[[BinaryIO, TokenItem, Arrangement], None]


def check_arrangement(format_name: str, arrangement: Arrangement) -> None:
    """Refuse what the format of that name does not have.

    Raises:
        UsageError: it does not have it.
    """
    if format_name == "jsonl" and arrangement.code_dtype is not None:
        raise UsageError(f"{parameter('code_dtype')}: JSON's numbers have no types")
    if format_name == "shar" and arrangement.flat is not None:
        raise UsageError(f"{parameter('flat')}: codes of Shar have an axis of time")
    if format_name == "shar" and arrangement.layout == "KT":
        raise UsageError(
            f"{parameter('layout', 'KT')}: codes of Shar are [T, K]; lhotse cuts arrays along "
            "their first axis"
        )


def _begin_parquet(files: Sequence[BinaryIO], how: Arrangement, kinds: ColumnKinds | None) -> Shard:
    [file] = files
    return ParquetShard(file, how, kinds)


def _begin_tar(files: Sequence[BinaryIO], how: Arrangement, kinds: ColumnKinds | None) -> Shard:
    [file] = files
    return TarShard(file, how)


def _begin_jsonl(files: Sequence[BinaryIO], how: Arrangement, kinds: ColumnKinds | None) -> Shard:
    check_arrangement("jsonl", how)
    [file] = files
    return JsonLinesShard(file, replace(how, code_dtype="int64"))


def _begin_shar(files: Sequence[BinaryIO], how: Arrangement, kinds: ColumnKinds | None) -> Shard:
    check_arrangement("shar", how)
    cuts, codes = files
    return SharShard(cuts, codes, replace(how, layout="TK"))


SHARD_FORMATS: Mapping[str, ShardFormat] = MappingProxyType(
    {
        "parquet": ShardFormat(("tokens-{}.parquet",), _begin_parquet, parquet_keys),
        "webdataset": ShardFormat(("tokens-{}.tar",), _begin_tar, tar_keys),
        "jsonl": ShardFormat(("tokens-{}.jsonl",), _begin_jsonl, jsonl_keys),
        # By itself: lhotse takes every file of a folder for a part of its shards.
        "shar": ShardFormat(("shar/cuts.{}.jsonl.gz", "shar/codes.{}.tar"), _begin_shar, shar_keys),
    }
)
SINGLE_FORMATS: Mapping[str, SingleFormat] = MappingProxyType(
    {
        "npz": SingleFormat(".npz", write_npz),
        "safetensors": SingleFormat(".safetensors", write_safetensors),
    }
)
