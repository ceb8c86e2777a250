"""Times as people write them."""

import re
from fractions import Fraction

from encodec_cli.errors import UsageError

__all__ = ["parse_time"]

_TIME = re.compile(r"(?:(?:(\d{1,6}):)?(\d{1,6}):)?(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})", re.ASCII)


def parse_time(text: str | None, option: str) -> Fraction | None:
    """Seconds, exactly, of "90", "1:30.5" or "0:01:30.5"; None of None.

    Raises:
        UsageError: something else, or 60 and more where a larger unit stands before it; names
            `option`.
    """
    if text is None:
        return None
    match = _TIME.fullmatch(text)
    if match is None:
        raise UsageError(f"{option} {text}: give seconds, or [hh:]mm:ss.s")
    hours, minutes, seconds = match.groups()
    whole = Fraction(seconds)
    if (minutes and whole >= 60) or (hours and int(minutes) >= 60):
        raise UsageError(f"{option} {text}: minutes and seconds go up to 59")
    return (int(hours or 0) * 60 + int(minutes or 0)) * 60 + whole
