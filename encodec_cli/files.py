"""Outputs that are either complete or absent.

Everything the command line writes goes through `atomic_output`: the bytes land in a hidden
temporary file beside the target and are renamed over it only after the writer succeeded, so a
crash, Ctrl-C or a full disk never leaves half a file under the name the user asked for.
"""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from encodec_cli.errors import OutputError

__all__ = ["atomic_output", "check_writable"]


def check_writable(path: Path, *, force: bool) -> None:
    """Refuse early what `atomic_output` would refuse after the work is done.

    Raises:
        OutputError: `path` exists and `force` is false, is a folder, or its folder is missing.
    """
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; name a file")
    if path.exists() and not force:
        raise OutputError(f"{path}: exists already; use --force to overwrite it")
    if not path.parent.is_dir():
        raise OutputError(f"{path}: folder {path.parent} does not exist; create it first")


@contextmanager
def atomic_output(path: Path, *, force: bool = False) -> Iterator[BinaryIO]:
    """Yield a binary file that becomes `path` when the block ends without an exception.

    The file is seekable, has the permissions an ordinary new file would get, and is removed if
    the block raises (KeyboardInterrupt included).

    Raises:
        OutputError: see `check_writable`; also when the disk is full or the folder read-only.
    """
    check_writable(path, force=force)
    try:
        descriptor, name = tempfile.mkstemp(
            prefix=f".{path.name[:80]}.", suffix=".partial", dir=path.parent
        )
    except OSError as error:
        raise OutputError(f"{path}: cannot write there: {error.strerror}") from error
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            yield file
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        if not force and path.exists():  # somebody else made it while we worked
            raise OutputError(f"{path}: exists already; use --force to overwrite it")
        temporary.replace(path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EACCES):
            raise OutputError(f"{path}: cannot write: {error.strerror}") from error
        raise
    finally:
        temporary.unlink(missing_ok=True)
