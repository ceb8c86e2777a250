"""Who writes shards into a folder: one run, or the parts of one, each of them once.

A run by itself locks the folder. Parts share that lock, and each locks a file of its own; parts of
another number would cut the corpus otherwise, and are refused. The system gives locks back however
a run ends. Where a file system has none, nobody is refused.
"""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from encodec_cli.errors import OutputError
from encodec_cli.io.files import make_folder
from encodec_cli.io.shares import Share
from encodec_cli.tokens.records import RECORDS

__all__ = ["locked_folder"]

_NAME = re.compile(r"part-\d+-of-(\d+)\.lock")


@contextmanager
def locked_folder(folder: Path, share: Share | None) -> Iterator[None]:
    """Keep other runs from `folder`, but for other parts of this one.

    Raises:
        OutputError: another run writes there, or the folder cannot be made.
    """
    make_folder(folder)
    with ExitStack() as stack:
        how = fcntl.LOCK_EX if share is None else fcntl.LOCK_SH
        if not _lock(stack, folder, os.O_RDONLY, how):
            raise OutputError(
                f"{folder}: another run writes shards here; wait for it, or name another folder"
            )
        if share is not None:
            _lock_part(stack, folder, share)
        yield


def _lock_part(stack: ExitStack, folder: Path, share: Share) -> None:
    records = folder / RECORDS
    make_folder(records)
    path = records / f"part-{share.index}-of-{share.of}.lock"
    if not _lock(stack, path, os.O_RDWR | os.O_CREAT, fcntl.LOCK_EX):
        raise OutputError(f"{folder}: another run does part {share}; wait for it")
    stack.callback(path.unlink, missing_ok=True)  # while it is locked: nobody else's can be there
    for other in records.glob("part-*-of-*.lock"):
        found = _NAME.fullmatch(other.name)
        if found is None or int(found[1]) == share.of:
            continue
        with ExitStack() as trial:
            if not _lock(trial, other, os.O_RDWR, fcntl.LOCK_EX):
                raise OutputError(
                    f"{folder}: parts of {found[1]} are being done, not of {share.of}; wait for "
                    "them, or name another folder"
                )


def _lock(stack: ExitStack, path: Path, flags: int, how: int) -> bool:
    """Whether the lock is ours until the stack ends, or there are no locks."""
    try:
        descriptor = os.open(path, flags | os.O_CLOEXEC, 0o666)
    except OSError:  # gone meanwhile; a folder that cannot be written says so later
        return True
    stack.callback(os.close, descriptor)
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
