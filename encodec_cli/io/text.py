"""Text from outside, such as file names and values in files, made fit to be shown."""

import reprlib
from typing import Any

__all__ = ["printable", "shown"]

_MOST_CHARACTERS = 60
_MOST_INTEGER = 1 << 64


def printable(text: str) -> str:
    """`text` on one line: what is not printable (in file names, say) as Python would escape it."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shown(value: Any, most: int = _MOST_CHARACTERS) -> str:
    """`value` as Python writes it, in at most `most` characters on one line.

    Takes no longer for a huge or deeply nested value than for a small one.
    """
    text = printable(_BRIEF.repr(value))
    return text if len(text) <= most else f"{text[: most - 3]}..."


class _Brief(reprlib.Repr):
    """Shows a few items of a few levels, and no number of thousands of digits."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 3
        self.maxstring = self.maxother = _MOST_CHARACTERS

    def repr_int(self, x: int, level: int) -> str:
        return repr(x) if abs(x) < _MOST_INTEGER else "a huge number"


_BRIEF = _Brief()
