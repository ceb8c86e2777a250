"""Temporary files and folders: locked while their writer lives, swept up once it is gone.

A writer holds a lock on its file, which the system gives back however the writer ends. The next
run that writes to the folder removes files whose lock is free. Locks do not always reach from one
machine to another (NFS), so names carry the running kernel's number, which containers share:

    .talk.ecdc.5f0c1a2b-9d41c0de77aa.partial       target, kernel, random number

Files of another kernel are removed only a week after they were last written to. Folders end in
`.partial.d`, and those of other users stay.
"""

import fcntl
import os
import re
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

__all__ = [
    "create_locked",
    "remove_leftovers",
    "remove_leftovers_once",
    "temporary_folder",
    "temporary_name",
]

_NAME = re.compile(r"\..*\.([0-9a-f]{8})-[0-9a-f]{12}\.partial(\.d)?", re.DOTALL)
_MOST_STEM = 40
_WEEK_SECONDS = 7 * 24 * 3600
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def temporary_name(target: Path) -> Path:
    """A new name for a temporary file beside `target`."""
    return target.parent / (
        f".{target.name[:_MOST_STEM]}.{_kernel()}-{os.urandom(6).hex()}.partial"
    )


def create_locked(path: Path, mode: int = 0o666) -> tuple[int, int]:
    """Create the file `path`; a descriptor to write to, and one that holds its lock until closed.

    `mode` are its permissions, less what the umask takes.

    Raises:
        OSError: it exists, or cannot be made there.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:  # a file system without locks, where nobody removes what others left
            return descriptor, os.dup(descriptor)
        if os.fstat(descriptor).st_nlink:
            return descriptor, os.dup(descriptor)
        os.close(descriptor)  # swept up between its creation and its lock


@contextmanager
def temporary_folder(parent: Path | None = None, stem: str = "encodec-cli") -> Iterator[Path]:
    """A folder in `parent`, the system's for such without, that nobody else reads; removed after.

    Those that killed runs left there are removed first.

    Raises:
        OSError: it cannot be made.
    """
    import tempfile  # here, as shutil below: most commands make no folder

    parent = parent or Path(tempfile.gettempdir())
    remove_leftovers_once(parent)
    path = temporary_name(parent / stem).with_suffix(".partial.d")
    lock = -1
    try:
        lock = _make_locked_folder(path)
        yield path
    finally:
        try:
            _remove_folder(path)
        finally:
            if lock >= 0:
                os.close(lock)


def _make_locked_folder(path: Path) -> int:
    while True:
        path.mkdir(0o700)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue  # swept up between its creation and its lock
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:  # a file system without locks, where nobody removes what others left
            return descriptor
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)


def remove_leftovers(folder: Path) -> None:
    """Remove temporary ones in `folder` whose writers are gone; never raises for their sake."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        match = _NAME.fullmatch(entry.name)
        if match is None:
            continue
        try:
            own = match[1] == _kernel()
            if own or time.time() - entry.stat(follow_symlinks=False).st_mtime > _WEEK_SECONDS:
                _remove_if_free(Path(entry.path), is_folder=match[2] is not None)
        except OSError:  # gone, of another user, locked, or no locks here
            continue


@cache
def remove_leftovers_once(folder: Path) -> None:
    """`remove_leftovers`, once for each folder: a batch writes thousands of files to one."""
    remove_leftovers(folder)


def _remove_if_free(path: Path, *, is_folder: bool) -> None:
    mode = os.O_RDONLY | os.O_DIRECTORY if is_folder else os.O_RDWR
    descriptor = os.open(path, mode | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        status = os.fstat(descriptor)
        if not os.path.samestat(status, path.lstat()):
            return
        if not is_folder:
            path.unlink()
        elif status.st_uid == os.geteuid():
            _remove_folder(path)
    finally:
        os.close(descriptor)


def _remove_folder(path: Path) -> None:
    import shutil

    shutil.rmtree(path, ignore_errors=True)


@cache
def _kernel() -> str:
    """Eight digits that name the running kernel: this start of this machine."""
    try:
        identity = _BOOT_ID.read_text()
    except OSError:
        identity = os.uname().nodename
    return f"{zlib.crc32(identity.encode()):08x}"
