"""Which of many cases of a test are tried by `scripts/check`."""

from collections.abc import Iterable
from typing import Any

import pytest

__all__ = ["mostly_slow"]


def mostly_slow(cases: Iterable[Any], fast: int = 1, *, unpack: bool = True) -> list[Any]:
    """`cases` for `parametrize`, all but the first `fast` of them marked as slow.

    With `unpack` a tuple is a case of several arguments.
    """
    found = []
    for number, case in enumerate(cases):
        values = case if unpack and isinstance(case, tuple) else (case,)
        slow = pytest.param(*values, marks=pytest.mark.slow)
        found.append(case if number < fast else slow)
    return found
