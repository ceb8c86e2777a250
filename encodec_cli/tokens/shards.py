"""Where a run puts its items: into numbered shards of a folder, or into a file each.

    target.writing(3)  -->  add(item), add(item) ...  -->  tokens-00003.tar and its record

Targets are data that any process can take; what they write appears complete or not at all.
"""

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

from encodec_cli.errors import OutputError
from encodec_cli.io.files import atomic_output, check_inside, check_writable, make_folder
from encodec_cli.io.shares import Share
from encodec_cli.tokens.columns import ColumnKinds
from encodec_cli.tokens.failures import Failure
from encodec_cli.tokens.formats import SHARD_FORMATS, SINGLE_FORMATS, Shard, ShardFormat
from encodec_cli.tokens.item import TokenItem
from encodec_cli.tokens.records import (
    RECORDS,
    ShardRecord,
    read_record,
    write_record,
)
from encodec_cli.tokens.writing import Arrangement

__all__ = ["FileTarget", "ItemWriter", "ShardTarget", "Stock", "TokenTarget"]


class ItemWriter(Protocol):
    """What `writing` gives."""

    def add(self, item: TokenItem) -> Path:
        """Write `item`; the path of its file, which may still have to appear.

        Raises:
            ContainerError: this item cannot be written; the others can.
            OutputError: nothing can.
        """

    def fail(self, failure: Failure) -> None:
        """Note an item that is left out."""


@dataclass(frozen=True)
class ShardTarget:
    """Numbered shards in `folder`, in the format that `to` names.

    `kinds` are those of the corpus' columns, if they are known.
    """

    folder: Path
    to: str
    arrangement: Arrangement = field(default_factory=Arrangement)
    kinds: ColumnKinds | None = None

    @property
    def format(self) -> ShardFormat:
        return SHARD_FORMATS[self.to]

    def names(self, number: int) -> tuple[str, ...]:
        """Those of a shard's files, below the folder; the first appears last."""
        return tuple(name.format(f"{number:05d}") for name in self.format.files)

    def first(self, number: int) -> Path:
        """The file of a shard that tells that it is complete."""
        return self.folder / self.names(number)[0]

    def numbers(self) -> list[int]:
        """Of complete shards, in order.

        Raises:
            OutputError: the folder cannot be looked into.
        """
        return self._numbers_of(self.format.files[0])

    def remove_orphans(self, share: Share) -> None:
        """Remove files of shards that a killed run left without their first one."""
        complete = set(self.numbers())
        for name in self.format.files[1:]:
            for number in self._numbers_of(name):
                if share.has(number) and number not in complete:
                    (self.folder / name.format(f"{number:05d}")).unlink(missing_ok=True)

    def _numbers_of(self, name: str) -> list[int]:
        pattern = re.compile(re.escape(name.rpartition("/")[2]).replace(r"\{\}", r"(\d{5,})"))
        folder = (self.folder / name).parent
        try:
            names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        except OSError as error:
            raise OutputError(f"{folder}: cannot look into it: {error.strerror}") from error
        return sorted(int(found[1]) for each in names if (found := pattern.fullmatch(each)))

    def record_path(self, number: int) -> Path:
        """Where the record of a shard lies."""
        return self.folder / RECORDS / f"{self.to}-{number:05d}.json"

    def check(self, key: str) -> None:
        """Nothing: whether an item is there is the plan's to know."""

    def record(self, number: int) -> ShardRecord | None:
        """What became of the shard; None if it is not complete, or has no record.

        Raises:
            ContainerError: see `read_record`.
        """
        return read_record(self.record_path(number)) if self.first(number).is_file() else None

    @contextmanager
    def writing(self, number: int) -> Iterator["_ShardWriting"]:
        """Write a shard; it appears when the block ends without an exception, if it has items.

        Raises:
            OutputError: it is there already, or cannot be written.
            UsageError: a package that the format needs is missing.
        """
        make_folder(self.folder)
        with suppress(_Empty), ExitStack() as stack:
            writing = _ShardWriting(self, number, stack)
            yield writing
            writing.finish()


class _Empty(Exception):
    """A shard without items."""


@dataclass
class _ShardWriting:
    target: ShardTarget
    number: int
    stack: ExitStack
    keys: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    seconds: float = 0.0
    frames: int = 0
    started: float = field(default_factory=time.monotonic)

    @cached_property
    def _shard(self) -> Shard:
        target = self.target
        files = []
        for place, name in enumerate(target.names(self.number)):  # the first appears last
            path = target.folder / name
            make_folder(path.parent)
            # The others may be there without it, of a run that was killed.
            files.append(self.stack.enter_context(atomic_output(path, force=place > 0)))
        return target.format.open(files, target.arrangement, target.kinds)

    def add(self, item: TokenItem) -> Path:
        self._shard.add(item)
        self.keys.append(item.key)
        self.seconds += item.info.seconds or 0.0
        self.frames += item.codes.shape[1]
        return self.target.first(self.number)

    def fail(self, failure: Failure) -> None:
        self.failures.append(failure)

    def finish(self) -> None:
        """Complete the files; they appear when the stack unwinds, after the record."""
        if not self.keys:
            raise _Empty  # files that are open then do not appear
        self._shard.finish()
        target, number = self.target, self.number
        record = ShardRecord(
            number=number,
            files=target.names(number),
            keys=tuple(self.keys),
            failures=tuple(self.failures),
            seconds=self.seconds,
            frames=self.frames,
            elapsed_seconds=time.monotonic() - self.started,
        )
        write_record(target.record_path(number), record)


@dataclass(frozen=True)
class FileTarget:
    """A file for each item in `folder`, named by its key, in the format that `to` names."""

    folder: Path
    to: str
    arrangement: Arrangement = field(default_factory=Arrangement)
    force: bool = False

    def path(self, key: str) -> Path:
        """The file of an item."""
        return self.folder / f"{key}{SINGLE_FORMATS[self.to].suffix}"

    def files(self) -> frozenset[Path]:
        """Those of items that are there, of this run or others."""
        return frozenset(self.folder.rglob(f"*{SINGLE_FORMATS[self.to].suffix}"))

    def names(self, number: int) -> tuple[str, ...]:
        """None: each item has its file."""
        return ()

    def check(self, key: str) -> None:
        """Refuse an item, before it is coded, whose file could not be written.

        Raises:
            OutputError: it could not.
        """
        path = self.path(key)
        make_folder(path.parent)
        check_inside(path, self.folder)
        check_writable(path, force=self.force)

    def record(self, number: int) -> ShardRecord | None:
        """None: files tell by themselves that they are there."""
        return None

    @contextmanager
    def writing(self, number: int) -> Iterator["_FileWriting"]:
        """Write files, each of which appears when it is complete.

        Raises:
            OutputError: one cannot be written.
        """
        yield _FileWriting(self)


@dataclass(frozen=True)
class _FileWriting:
    target: FileTarget

    def add(self, item: TokenItem) -> Path:
        path = self.target.path(item.key)
        with atomic_output(path, force=self.target.force) as file:
            SINGLE_FORMATS[self.target.to].write(file, item, self.target.arrangement)
        return path

    def fail(self, failure: Failure) -> None:
        pass


TokenTarget = ShardTarget | FileTarget


class Stock:
    """What a folder of shards holds already, by the records of its shards or the shards themselves.

    Attributes:
        numbers: of complete shards.
        keys: of their items.
        records: of the shards that have one.
    """

    def __init__(self, target: ShardTarget) -> None:
        """Look into the folder.

        Raises:
            ContainerError: a shard or a record cannot be read.
            OutputError: the folder cannot be looked into.
        """
        self.numbers = set(target.numbers())
        self.keys: set[str] = set()
        self.records: list[ShardRecord] = []
        for number in sorted(self.numbers):
            record = target.record(number)
            if record is None:
                self.keys.update(target.format.keys(target.first(number)))
            else:
                self.keys.update(record.keys)
                self.records.append(record)
