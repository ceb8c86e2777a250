"""Which of many cases of a test are tried by `scripts/check`."""

from collections.abc import Iterable
from typing import Any

import pytest

__all__ = ["mostly_slow"]


def mostly_slow(cases: Iterable[Any], fast: int = 1) -> list[Any]:
    """`cases` for `parametrize`, all but the first `fast` of them marked as slow.

    A tuple is a case of several arguments.
    """
    return [
        pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow)
        if number >= fast
        else case
        for number, case in enumerate(cases)
    ]
