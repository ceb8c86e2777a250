"""What people see: words and progress on stderr, results on stdout."""

import json
import math
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.live import Live
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from encodec_cli.cli.progress import FileProgress, RunProgress
from encodec_cli.errors import OutputError
from encodec_cli.io.files import drop_unwritable
from encodec_cli.io.text import printable

__all__ = [
    "Lines",
    "count",
    "output",
    "print_json",
    "printable",
    "progress_bar",
    "rounded",
    "say",
    "shown_progress",
    "transfer_bar",
    "warn",
]


class Lines(Protocol):
    """What tells how far a run is."""

    def line(self, width: int, *, bar: bool = True) -> str:
        """One line of at most `width` columns."""


_UNFOLDED = 10_000
_LINE_SECONDS = 30.0
_LINE_COLUMNS = 80


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def _stderr() -> Console:
    return Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


def output(*, folds: bool = False) -> Console:
    """Console for tables and text that are the command's result; only terminals fold lines.

    With `folds` files and pipes do as well, at the number that COLUMNS gives, if it does.

    Raises:
        OutputError: standard output is closed.
    """
    if sys.stdout is None:
        raise _closed()
    columns = os.environ.get("COLUMNS", "") if folds else ""
    width = int(columns) if columns.isdecimal() and 0 < int(columns) < _UNFOLDED else _UNFOLDED
    return Console(
        highlight=False,
        markup=False,
        emoji=False,
        width=None if _is_terminal(sys.stdout) else width,
    )


def count(number: int, noun: str) -> str:
    """`number` and `noun`, with an s unless there is one."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def say(text: str) -> None:
    """One line of information on stderr."""
    with _one_line() as console:
        console.print(_folded(printable(text), console))


def warn(text: str, *, label: str = "warning", style: str = "yellow") -> None:
    """One line on stderr that starts with what kind of trouble it is."""
    with _one_line() as console:
        start = f"encodec-cli: {label}: "
        console.print(start, style=style, end="")
        console.print(_folded(printable(text), console, used=len(start)))


def _folded(text: str, console: Console, *, used: int = 0) -> str:
    """`text` in lines of the terminal that begin at words; `used` columns of the first are taken.

    Files and pipes get one line.
    """
    if not _is_terminal(sys.stderr):
        return text
    lines, column = [""], used
    for word in re.split(r"(?<!\d) ", text):  # a number stays with what it counts
        space = bool(lines[-1])
        if space and column + 1 + cell_len(word) > console.width:
            lines.append("  ")
            column, space = 2, False
        lines[-1] += f" {word}" if space else word
        column += space + cell_len(word)
    return "\n".join(lines)


@contextmanager
def _one_line() -> Iterator[Console]:
    """A console whose text goes to stderr as it is then: while a bar is shown, above the bar."""
    console = _stderr()
    with console.capture() as captured:
        yield console
    if sys.stderr is not None:
        sys.stderr.write(captured.get())
        sys.stderr.flush()


def print_json(value: Any) -> None:
    """One line of JSON in ASCII on stdout.

    Raises:
        OutputError: standard output is closed, or on a full disk.
    """
    if sys.stdout is None:
        raise _closed()
    # ASCII: names may hold what terminals obey, and what the stream cannot encode.
    line = json.dumps(_finite(value), allow_nan=False) + "\n"
    try:
        sys.stdout.write(line)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        drop_unwritable()
        raise OutputError(f"stdout: cannot write: {error.strerror}") from error


def _closed() -> OutputError:
    return OutputError("stdout: is closed; the result has nowhere to go")


def rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with floats to four decimals, as JSON and CSV have them."""
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in values.items()}


def _finite(value: Any) -> Any:
    """`value` with null for NaN and Inf, which JSON lacks; metadata of models may hold them."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def progress_bar(
    description: str, *, quiet: bool
) -> Iterator[Callable[[float, float | None], None] | None]:
    """Yield a function of (seconds done, seconds in all), or None where nobody watches."""
    if quiet or not _is_terminal(sys.stderr):
        yield None
        return
    run = RunProgress(printable(description), [FileProgress()])
    with shown_progress(run, quiet=quiet, lines=False):
        yield partial(run.update, 0)


@contextmanager
def shown_progress(
    run: Lines, *, quiet: bool, lines: bool, every_seconds: float = _LINE_SECONDS
) -> Iterator[None]:
    """Show `run` on stderr until the block ends.

    A terminal has one line that moves below all that is said. One that cannot move text
    (TERM=dumb), and with `lines` a file or pipe, gets a line of its own now and then.
    """
    console = _stderr()
    # Not what FORCE_COLOR makes rich believe.
    terminal = _is_terminal(sys.stderr) and not console.is_dumb_terminal
    if quiet or not (lines or _is_terminal(sys.stderr)):
        yield
    elif terminal:
        live = Live(
            get_renderable=lambda: Text(run.line(console.width - 1), no_wrap=True),
            console=console,
            refresh_per_second=4,
            transient=True,
        )
        with live:
            yield
            live.refresh()
    else:
        with _now_and_then(lambda: say(run.line(_LINE_COLUMNS, bar=False)), every_seconds):
            yield


@contextmanager
def _now_and_then(do: Callable[[], None], seconds: float) -> Iterator[None]:
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(seconds):
            do()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def transfer_bar(*, quiet: bool) -> Iterator[Callable[[str, int, int | None], None] | None]:
    """Yield a function of (file, bytes done, bytes in all), or None where nobody watches."""
    if quiet or not _is_terminal(sys.stderr):
        yield None
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=_stderr(), transient=True) as progress:

        def update(name: str, done: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(printable(name), total=None)
            progress.update(tasks[name], completed=done, total=total)

        yield update
