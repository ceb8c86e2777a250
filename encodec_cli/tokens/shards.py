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
from encodec_cli.tokens.files import Shard, open_shard, read_keys
from encodec_cli.tokens.item import TokenItem

__all__ = ["ShardWriter"]

_NAME = "tokens"


class ShardWriter:
    """Writes items into `tokens-00000`, `tokens-00001` ... of a folder, as a context manager.

    A shard appears under its name when it is complete. If the program dies, or the context is left
    by an exception, the shard that was begun is lost; those before it remain.

    Attributes:
        keys: of the items in complete shards, this run's and earlier ones'.
    """

    def __init__(self, folder: Path, suffix: str, *, most_bytes: int, resume: bool) -> None:
        """`most_bytes` of codes, two bytes each, close a shard; the item that reaches it is in.

        Raises:
            OutputError: there are shards already and not `resume`, another run writes here, or
                the folder cannot be made.
            ContainerError: a shard that is there cannot be read.
            UsageError: a package that the format needs is missing.
        """
        self._folder, self._suffix, self._most_bytes = folder, suffix, most_bytes
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
        path = self._folder / f"{_NAME}-{self._next:05d}{self._suffix}"
        if self._shard is None:
            file = self._shard_stack.enter_context(atomic_output(path))
            self._shard = open_shard(file, self._suffix)
        self._shard.add(item)
        self._begun.append(item.key)
        self._bytes += 2 * item.codes.size
        if self._bytes >= self._most_bytes:
            self._close_shard()
        return path

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
        name = re.compile(rf"{_NAME}-(\d{{5,}}){re.escape(self._suffix)}")
        found = {p: int(m[1]) for p in self._folder.iterdir() if (m := name.fullmatch(p.name))}
        if found and not resume:
            raise OutputError(
                f"{self._folder}: holds shards already, {len(found)} of them; go on with "
                f"{parameter('skip_existing', True)}, or name another folder"
            )
        for path in sorted(found):
            self.keys.update(read_keys(path))
        for path in self._folder.glob(f".{_NAME}-*{self._suffix}.*.partial"):
            path.unlink()  # of a run that was killed; nobody else writes here
        self._next = max(found.values(), default=-1) + 1
