"""Claims on files to be made, so that several runs into one folder share the work.

A run that makes a file holds a lock on a hidden file beside it, `.talk.ecdc.claim`, and removes
that file when it is done. The system gives the lock back however the run ends, so what a killed run
leaves claims nothing.

Locks reach from one machine to another only where the file system passes them on (NFS with its lock
service). Where there are none, nothing is claimed: files may then be made twice, and the first that
is complete stays.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

__all__ = ["Claim", "claimed"]

Claim = Literal["ours", "others", "done"]
_MOST_STEM = 200


@contextmanager
def claimed(target: Path) -> Iterator[Claim]:
    """Whether to make `target`: it is "ours" until the block ends, "others" at work, or "done"."""
    path = target.parent / f".{target.name[:_MOST_STEM]}.claim"
    descriptor = _locked(path)
    if descriptor is None:
        yield "others"
        return
    try:
        yield "done" if target.is_file() else "ours"
    finally:
        if descriptor >= 0:
            path.unlink(missing_ok=True)  # while it is locked: nobody else's can be there
            os.close(descriptor)


def _locked(path: Path) -> int | None:
    """A descriptor that holds the lock; None if another run does, -1 where there are no locks."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        except OSError:  # a folder that cannot be written: whoever writes the target says so
            return -1
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            return -1
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # removed by its last holder between our two calls
