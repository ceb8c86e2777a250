"""How many threads torch takes."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["torch_threads"]


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Torch on `count` threads for a while, called from this thread of Python's.

    Every thread of Python's has its own number.
    """
    # A thread that has not asked for it yet may still be given the number that another one sets.
    before = torch.get_num_threads()
    if before == count:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
