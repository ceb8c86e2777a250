"""What a folder of shards remembers of each: a small file, written before the shard appears.

    FOLDER/tokens-00003.tar            the shard
    FOLDER/.done/webdataset-00003.json its record: keys, lengths, what failed

A shard whose record is missing is of an older version, or copied here; it tells its keys itself.
A record whose shard is missing is of a run that was killed between the two: it counts for nothing.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from encodec_cli.errors import ContainerError
from encodec_cli.io.files import atomic_output, make_folder
from encodec_cli.tokens.failures import Failure

__all__ = ["RECORDS", "ShardRecord", "read_record", "write_record"]

RECORDS = ".done"
"""The folder of the records; hidden, so that nobody takes them for data."""


@dataclass(frozen=True, kw_only=True)
class ShardRecord:
    """What became of the items of a shard.

    Attributes:
        number: of the shard.
        files: its files, below the folder.
        keys: of the items in it, in order.
        failures: of items that are not.
        seconds: of audio in it.
        frames: in it.
        elapsed_seconds: that it took.
    """

    number: int
    files: tuple[str, ...]
    keys: tuple[str, ...]
    failures: tuple[Failure, ...] = ()
    seconds: float = 0.0
    frames: int = 0
    elapsed_seconds: float = 0.0

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any]) -> Self:
        """A record as JSON has it.

        Raises:
            TypeError, KeyError, ValueError: it is none.
        """
        return cls(
            number=int(data["number"]),
            files=tuple(map(str, data["files"])),
            keys=tuple(map(str, data["keys"])),
            failures=tuple(Failure(**each) for each in data["failures"]),
            seconds=float(data["seconds"]),
            frames=int(data["frames"]),
            elapsed_seconds=float(data["elapsed_seconds"]),
        )


def write_record(path: Path, record: ShardRecord) -> None:
    """Write it, in place of one of a run that was killed.

    Raises:
        OutputError: it cannot be written.
    """
    make_folder(path.parent)
    with atomic_output(path, force=True) as file:
        file.write(json.dumps(asdict(record), ensure_ascii=False).encode())


def read_record(path: Path) -> ShardRecord | None:
    """The record in `path`; None if there is none.

    Raises:
        ContainerError: it cannot be read.
    """
    try:
        return ShardRecord.from_mapping(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise ContainerError(
            f"{path}: not a record of a shard; remove it, and its shard is read instead"
        ) from error
