"""What people see: words and progress on stderr, results on stdout."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["output", "print_json", "progress_bar", "say", "warn"]


def _stderr() -> Console:
    return Console(stderr=True, highlight=False, soft_wrap=True)


def output() -> Console:
    """Console for tables and text that are the command's result."""
    return Console(highlight=False)


def say(text: str) -> None:
    """One line of information on stderr."""
    _stderr().print(text, markup=False)


def warn(text: str, *, label: str = "warning", style: str = "yellow") -> None:
    """One line on stderr that starts with what kind of trouble it is."""
    console = _stderr()
    console.print(f"encodec-cli: {label}: ", style=style, end="", markup=False)
    console.print(text, markup=False)


def print_json(value: Any) -> None:
    """One line of JSON on stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()


@contextmanager
def progress_bar(
    description: str, *, quiet: bool
) -> Iterator[Callable[[float, float | None], None] | None]:
    """Yield a function of (seconds done, seconds in all), or None where nobody watches."""
    console = _stderr()
    if quiet or not console.is_terminal:
        yield None
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed:.0f} s of audio"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(description, total=None)

        def update(done: float, total: float | None) -> None:
            progress.update(task, completed=done, total=total)

        yield update
