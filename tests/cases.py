"""Which of many cases of a test are tried by `scripts/check`."""

from collections.abc import Iterable
from typing import Any

import pytest

__all__ = ["mostly_slow"]


_Case = type(pytest.param())


def mostly_slow(cases: Iterable[Any], fast: int = 1, *, unpack: bool = True) -> list[Any]:
    """`cases` for `parametrize`, all but the first `fast` of them marked as slow.

    With `unpack` a tuple is a case of several arguments.
    """
    found = []
    for number, case in enumerate(cases):
        if not isinstance(case, _Case):
            case = pytest.param(*(case if unpack and isinstance(case, tuple) else (case,)))
        marks = case.marks if number < fast else (*case.marks, pytest.mark.slow)
        found.append(pytest.param(*case.values, marks=marks, id=case.id))
    return found
