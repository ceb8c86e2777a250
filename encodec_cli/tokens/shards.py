"""A folder of shards, filled by one writer at a time, that a later run can go on with."""

import fcntl
import os
import re
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from encodec_cli.errors import OutputError, parameter
from encodec_cli.io.files import atomic_output
from encodec_cli.tokens.formats import Shard, ShardFormat
from encodec_cli.tokens.item import TokenItem
from encodec_cli.tokens.writing import Arrangement

__all__ = ["ShardWriter"]


class ShardWriter:
    """Writes items into `tokens-00000`, `tokens-00001` ... of a folder, as a context manager.

    A shard appears under its name when it is complete. If the program dies, or the context is left
    by an exception, the shard that was begun is lost; those before it remain.

    Attributes:
        keys: of the items in complete shards, this run's and earlier ones'.
    """

    def __init__(
        self,
        folder: Path,
        files: ShardFormat,
        arrangement: Arrangement,
        *,
        most_bytes: int,
        resume: bool,
    ) -> None:
        """`most_bytes` of codes, two bytes each, close a shard; the item that reaches it is in.

        Raises:
            OutputError: there are shards already and not `resume`, another run writes here, or
                the folder cannot be made.
            ContainerError: a shard that is there cannot be read.
            UsageError: a package that the format needs is missing.
        """
        self._folder, self._files, self._most_bytes = folder, files, most_bytes
        self._arrangement = arrangement
        self._stack = ExitStack()
        self._shard: Shard | None = None
        self._shard_stack = ExitStack()
        self._bytes = 0
        self._begun: list[str] = []
        self.keys: set[str] = set()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock()
            self._take_stock(resume=resume)
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._stack:
            if kind is None:
                self._close_shard()
            else:
                self._shard_stack.__exit__(kind, error, trace)

    def add(self, item: TokenItem) -> Path:
        """Append `item`; the path its shard will have.

        Raises:
            OutputError: the shard cannot be written.
        """
        paths = [self._folder / name.format(f"{self._next:05d}") for name in self._files.files]
        if self._shard is None:
            opened = []
            for place, path in enumerate(paths):  # the first appears last
                path.parent.mkdir(exist_ok=True)
                # The others are there without it where a run was killed in between.
                file = atomic_output(path, force=place > 0)
                opened.append(self._shard_stack.enter_context(file))
            self._shard = self._files.open(opened, self._arrangement)
        self._shard.add(item)
        self._begun.append(item.key)
        self._bytes += 2 * item.codes.size
        if self._bytes >= self._most_bytes:
            self._close_shard()
        return paths[0]

    def _close_shard(self) -> None:
        if self._shard is None:
            return
        with self._shard_stack:
            self._shard.finish()
        self.keys.update(self._begun)
        self._shard, self._bytes, self._begun = None, 0, []
        self._next += 1

    def _lock(self) -> None:
        """Lock the folder; the system releases the lock when the process ends, however it ends."""
        try:
            descriptor = os.open(self._folder, os.O_RDONLY)
            self._stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputError(
                f"{self._folder}: another run writes shards here; wait for it, or name another "
                "folder"
            ) from error

    def _take_stock(self, *, resume: bool) -> None:
        first = self._folder / self._files.files[0]
        name = re.compile(re.escape(first.name).replace(r"\{\}", r"(\d{5,})"))
        there = first.parent.iterdir() if first.parent.is_dir() else []
        found = {p: int(m[1]) for p in there if (m := name.fullmatch(p.name))}
        if found and not resume:
            raise OutputError(
                f"{self._folder}: holds shards already, {len(found)} of them; go on with "
                f"{parameter('skip_existing', True)}, or name another folder"
            )
        for path in sorted(found):
            self.keys.update(self._files.keys(path))
        self._next = max(found.values(), default=-1) + 1
        for pattern in self._files.files:  # of a run that was killed; nobody else writes here
            for path in self._folder.glob(_hidden(pattern.format("*"))):
                path.unlink()


def _hidden(pattern: str) -> str:
    """A pattern of the temporary names of files of `pattern`."""
    folder, slash, name = pattern.rpartition("/")
    return f"{folder}{slash}.{name}.*.partial"
