"""`failures.jsonl`: the items of a corpus that could not be coded, and why.

Lines are appended while a run goes on, by any number of runs, and set in order at its end: one line
an item, the last that was said of it, and none for those that are there by now.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from encodec_cli.errors import OutputError
from encodec_cli.io.files import atomic_output, make_folder

__all__ = ["FAILURES", "Failure", "add_failures", "read_failures", "settle_failures"]

FAILURES = "failures.jsonl"
"""The name of the file, in the folder of the outputs."""


@dataclass(frozen=True)
class Failure:
    """An item that could not be coded.

    Attributes:
        key: of the item.
        source: its name in the corpus.
        reason: why, in one line.
        exit_code: that of the error; a command says it where there was one item only.
    """

    key: str
    source: str
    reason: str
    exit_code: int = 1


def read_failures(folder: Path) -> dict[str, Failure]:
    """What the file says, by key: the last line of each. Lines that are not ours are dropped."""
    found: dict[str, Failure] = {}
    with suppress(FileNotFoundError), (folder / FAILURES).open(encoding="utf-8") as file:
        for line in file:
            with suppress(ValueError, TypeError, KeyError):
                failure = Failure(**json.loads(line))
                found.pop(failure.key, None)
                found[failure.key] = failure
    return found


def add_failures(folder: Path, failures: Iterable[Failure]) -> None:
    """Append lines.

    Raises:
        OutputError: they cannot be written.
    """
    text = "".join(_line(failure) for failure in failures)
    if not text:
        return
    make_folder(folder)
    path = folder / FAILURES
    try:
        with _locked(path) as file:
            file.write(text)
    except OSError as error:
        raise OutputError(f"{path}: cannot write: {error.strerror}") from error


def settle_failures(folder: Path, is_done: Callable[[str], bool]) -> None:
    """One line for each item that failed and is not `is_done` since; no file if there is none.

    Raises:
        OutputError: the file cannot be written.
    """
    path = folder / FAILURES
    if not path.exists():
        return
    with _locked(path):
        left = [failure for key, failure in read_failures(folder).items() if not is_done(key)]
        if not left:
            path.unlink(missing_ok=True)
            return
        with atomic_output(path, force=True) as file:
            file.write("".join(map(_line, left)).encode())


def _line(failure: Failure) -> str:
    return json.dumps(asdict(failure)) + "\n"


@contextmanager
def _locked(path: Path) -> Iterator[TextIO]:
    """The file, to append to, alone where the file system has locks."""
    while True:
        with path.open("a", encoding="ascii") as file:
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file.fileno()).st_nlink:  # else another run has put a new one in its place
                yield file
                return
