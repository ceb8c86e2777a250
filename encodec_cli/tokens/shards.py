"""Where a run puts its items: into numbered shards of a folder, or into a file each.

    target.writing(3)  -->  add(item), add(item) ...  -->  tokens-00003.tar and its record

Targets are data that any process can take; what they write appears complete or not at all.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

from encodec_cli.errors import OutputError
from encodec_cli.io.files import atomic_output, check_inside, check_writable, make_folder
from encodec_cli.tokens.failures import Failure
from encodec_cli.tokens.files import Shard, open_shard, read_keys, write_item
from encodec_cli.tokens.item import TokenItem
from encodec_cli.tokens.records import (
    ShardRecord,
    read_record,
    record_path,
    write_record,
)

__all__ = ["FileTarget", "ItemWriter", "ShardTarget", "Stock", "TokenTarget"]

_STEM = "tokens"


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
    """Shards `tokens-00000`, `tokens-00001` ... in `folder`, in the format of `suffix`."""

    folder: Path
    suffix: str

    def stem(self, number: int) -> str:
        """The name of a shard, without suffix."""
        return f"{_STEM}-{number:05d}"

    def files(self, number: int) -> tuple[Path, ...]:
        """The files of a shard; the first appears last."""
        return (self.folder / f"{self.stem(number)}{self.suffix}",)

    def names(self, number: int) -> tuple[str, ...]:
        """Those of the files, below the folder."""
        return tuple(path.relative_to(self.folder).as_posix() for path in self.files(number))

    def is_there(self, number: int) -> bool:
        """Whether the shard is complete."""
        return self.files(number)[0].is_file()

    def check(self, key: str) -> None:
        """Nothing: whether an item is there is the plan's to know."""

    def record(self, number: int) -> ShardRecord | None:
        """What became of the shard; None if it is not complete, or has no record.

        Raises:
            ContainerError: see `read_record`.
        """
        if not self.is_there(number):
            return None
        return read_record(record_path(self.folder, self.stem(number)))

    @contextmanager
    def writing(self, number: int) -> Iterator["_ShardWriting"]:
        """Write a shard; it appears when the block ends without an exception, if it has items.

        Raises:
            OutputError: it is there already, or cannot be written.
            UsageError: a package that the format needs is missing.
        """
        make_folder(self.folder)
        with ExitStack() as stack:
            writing = _ShardWriting(self, number, stack)
            yield writing
            writing.finish()


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
        target, number = self.target, self.number
        [file] = [self.stack.enter_context(atomic_output(p)) for p in target.files(number)]
        return open_shard(file, target.suffix)

    def add(self, item: TokenItem) -> Path:
        self._shard.add(item)
        self.keys.append(item.key)
        self.seconds += item.info.seconds or 0.0
        self.frames += item.codes.shape[1]
        return self.target.files(self.number)[0]

    def fail(self, failure: Failure) -> None:
        self.failures.append(failure)

    def finish(self) -> None:
        """Complete the files; they appear when the stack unwinds, after the record."""
        if not self.keys:
            return
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
        write_record(record_path(target.folder, target.stem(number)), record)


@dataclass(frozen=True)
class FileTarget:
    """A file for each item in `folder`, named by its key, in the format of `suffix`."""

    folder: Path
    suffix: str
    force: bool = False

    def path(self, key: str) -> Path:
        """The file of an item."""
        return self.folder / f"{key}{self.suffix}"

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
            write_item(file, item, self.target.suffix)
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
        self.numbers: set[int] = set()
        self.keys: set[str] = set()
        self.records: list[ShardRecord] = []
        for number in _numbers(target):
            self.numbers.add(number)
            record = target.record(number)
            if record is None:
                self.keys.update(read_keys(target.files(number)[0]))
            else:
                self.keys.update(record.keys)
                self.records.append(record)


def _numbers(target: ShardTarget) -> list[int]:
    folder = target.files(0)[0].parent
    ending = target.files(0)[0].name.removeprefix(target.stem(0))
    if not folder.is_dir():
        return []
    numbers = []
    try:
        for path in folder.glob(f"{_STEM}-*{ending}"):
            digits = path.name.removeprefix(f"{_STEM}-").removesuffix(ending)
            if digits.isdecimal() and target.stem(int(digits)) + ending == path.name:
                numbers.append(int(digits))
    except OSError as error:
        raise OutputError(f"{folder}: cannot look into it: {error.strerror}") from error
    return sorted(numbers)
