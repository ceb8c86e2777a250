"""Items made by another thread while those before are in use.

this thread       | use 1 | use 2 | ...
another   | make 1 | make 2 | make 3 | ...
"""

from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import TypeVar

__all__ = ["prefetched"]

_T = TypeVar("_T")


@contextmanager
def prefetched(items: Iterable[_T]) -> Iterator[Iterator[_T]]:
    """The same items, each made by another thread while the one before is in use.

    Errors come when their item would. To leave waits for the item that is being made.
    """
    with closing(_prefetch(items)) as made:
        yield made


def _prefetch(items: Iterable[_T]) -> Generator[_T, None, None]:
    source, end = iter(items), object()
    with ThreadPoolExecutor(1) as thread:
        made = thread.submit(next, source, end)
        while (item := made.result()) is not end:
            made = thread.submit(next, source, end)
            yield item  # type: ignore[misc]  # it is one of `source`
