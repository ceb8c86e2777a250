"""Inputs and outputs of bytes: files, standard input, standard output.

Outputs are either complete or absent.

Everything the command line writes goes through `atomic_output`: the bytes land in a hidden
temporary file beside the target and are renamed over it only after the writer succeeded, so a
crash, Ctrl-C or a full disk never leaves half a file under the name the user asked for. What a
crash leaves under the temporary name, the next run removes.
"""

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Literal

from encodec_cli.errors import EncodecCliError, OutputError, parameter
from encodec_cli.io.temporary import create_locked, remove_leftovers_once, temporary_name

__all__ = [
    "FULL",
    "atomic_output",
    "check_inside",
    "check_writable",
    "drop_unwritable",
    "make_folder",
    "open_input",
    "reason_taken",
    "standard_output",
]


FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Numbers of system errors that only writing has: no more room."""
_OF_WRITING = FULL | {errno.EIO, errno.EACCES, errno.EROFS}


def check_writable(path: Path, *, force: bool) -> None:
    """Refuse early what `atomic_output` would refuse after the work is done.

    Raises:
        OutputError: `path` exists or is a symbolic link and `force` is false, leads to no ordinary
            file, or its folder is missing.
    """
    try:
        if path.is_dir():
            raise OutputError(f"{path}: is a folder; name a file")
        if path.exists() and not path.is_file():
            # Renaming over /dev/null would replace the device.
            raise OutputError(f"{path}: is a device or pipe; write to '-' and redirect that")
        if not force:
            _refuse_taken(path)
        folder = _followed(path).parent
        if not folder.is_dir():
            raise OutputError(f"{path}: folder {folder} does not exist; create it first")
    except OSError as error:  # a name that is too long
        raise OutputError(f"{path}: cannot write there: {error.strerror}") from error


def check_inside(path: Path, folder: Path) -> None:
    """Refuse `path`, whose name somebody else chose, if a symbolic link leads it out of `folder`.

    Raises:
        OutputError: it does.
    """
    try:
        inside = path.parent.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # links in a circle
        inside = False
    if not inside:
        raise OutputError(f"{path}: a symbolic link leads out of {folder}; remove it")


@contextmanager
def atomic_output(
    path: Path, *, force: bool = False, like: Path | None = None
) -> Iterator[BinaryIO]:
    """Yield a binary file that becomes `path` when the block ends without an exception.

    The file is seekable, and is removed if the block raises (KeyboardInterrupt included). With
    `force` a symbolic link stays, and where it leads is written. Files that killed runs left in
    the folder are removed.

    It has the permissions of the file `like`, and nobody else can open it before that. Without
    `like`, or if that is a pipe, they are those of any new file.

    Raises:
        OutputError: see `check_writable`; also when the disk is full or the folder read-only.
    """
    check_writable(path, force=force)
    target = _followed(path)
    remove_leftovers_once(target.parent)
    temporary = temporary_name(target)  # before it is made: a signal may come at any moment
    lock = -1
    permissions = None if like is None else _permissions(like)
    try:
        try:
            mode = 0o666 if permissions is None else 0o600
            descriptor, lock = create_locked(temporary, mode)
        except OSError as error:
            raise OutputError(f"{path}: cannot write there: {error.strerror}") from error
        with os.fdopen(descriptor, "w+b") as file:
            yield file
        if permissions is not None:
            with suppress(OSError):  # a file system without permissions
                os.fchmod(lock, permissions)
        if not force:  # somebody else may have made it while we worked
            _refuse_taken(path)
        _rename(temporary, target, path)
    except OSError as error:
        if error.errno in _OF_WRITING:
            raise OutputError(f"{path}: cannot write: {error.strerror}") from error
        raise
    finally:
        try:
            _remove(temporary)
        except BaseException:  # a signal just then; there is no second one while it is handled
            _remove(temporary)
            raise
        finally:
            if lock >= 0:
                os.close(lock)


def _rename(temporary: Path, target: Path, path: Path) -> None:
    try:
        temporary.replace(target)
    except OSError as error:  # the folder is gone, or has become another
        raise OutputError(f"{path}: cannot write there: {error.strerror}") from error


def _remove(temporary: Path) -> None:
    with suppress(OSError):  # what cannot be removed must not hide why the writer failed
        temporary.unlink()


def _permissions(path: Path) -> int | None:
    """Who may read, write and execute the ordinary file `path`."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return None
    return mode & 0o777 if stat.S_ISREG(mode) else None


def _followed(path: Path) -> Path:
    """Where `path` leads, if it is a symbolic link."""
    if not path.is_symlink():
        return path
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:
        raise OutputError(f"{path}: is a symbolic link that leads to itself; remove it") from error


def _refuse_taken(path: Path) -> None:
    if path.is_symlink():
        force = parameter("force", True)
        raise OutputError(
            f"{path}: is a symbolic link to {path.readlink()}; use {force} to write there"
        )
    if path.exists():
        raise OutputError(f"{path}: {reason_taken()}")


def reason_taken() -> str:
    """Why nothing is written where a file is."""
    return f"exists already; use {parameter('force', True)} to overwrite it"


def make_folder(folder: Path) -> None:
    """Make `folder`, and the folders that it lies in.

    Raises:
        OutputError: the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot make this folder: {error.strerror}") from error


@contextmanager
def open_input(source: Path | Literal["-"]) -> Iterator[BinaryIO]:
    """Yield a binary file to read `source` from; "-" is standard input.

    Raises:
        EncodecCliError: missing, a folder, unreadable, closed, or a terminal.
    """
    if source == "-":
        if sys.stdin is None or sys.stdin.closed:
            raise EncodecCliError("stdin: is closed; pipe a file into it or name one")
        if sys.stdin.isatty():
            raise EncodecCliError("stdin: is a terminal; pipe a file into it or name one")
        yield sys.stdin.buffer
        return
    try:
        file = source.open("rb")
    except FileNotFoundError as error:
        raise EncodecCliError(f"{source}: no such file; check the name") from error
    except IsADirectoryError as error:
        raise EncodecCliError(f"{source}: is a folder; name a file") from error
    except OSError as error:
        raise EncodecCliError(f"{source}: cannot read: {error.strerror}") from error
    with file:
        yield file


@contextmanager
def standard_output() -> Iterator[BinaryIO]:
    """Yield standard output for bytes.

    Raises:
        OutputError: standard output is a terminal, closed, or on a full disk.
    """
    if sys.stdout is None or sys.stdout.closed:
        raise OutputError("stdout: is closed; pipe or redirect it, or name a file")
    if sys.stdout.isatty():
        raise OutputError("stdout: is a terminal; pipe or redirect it, or name a file")
    try:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    except OSError as error:
        drop_unwritable()
        if error.errno in _OF_WRITING:
            raise OutputError(f"stdout: cannot write: {error.strerror}") from error
        raise


def drop_unwritable() -> None:
    """Forget what standard output holds and cannot write; at the end it would fail once more."""
    if sys.stdout is None or sys.stdout.closed:
        return
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
