"""Tensors in memory of big pages.

A page's place has to be looked up before it is read. Weights that are all read for every frame are
more pages of 4 KiB than the processor remembers; Linux gives pages of 2 MiB to those who ask.
"""

import mmap
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor

__all__ = ["in_big_pages"]

_PAGE = 2 << 20
_LINE = 64  # bytes that come into the cache together


def in_big_pages(tensors: list[Tensor]) -> list[Tensor]:
    """Copies with the same strides, side by side; in memory as usual where there is no other.

    Args:
        tensors: fp32, each without gaps between its elements.
    """
    sizes = [-(-t.numel() * t.element_size() // _LINE) * _LINE for t in tensors]
    memory = mmap.mmap(-1, sum(sizes) + _PAGE)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel built without them
            memory.madvise(mmap.MADV_HUGEPAGE)
    room = torch.from_numpy(np.frombuffer(memory, np.float32))
    start = -room.data_ptr() % _PAGE // room.element_size()
    copies = []
    for tensor, size in zip(tensors, sizes, strict=True):
        copy = room[start:].as_strided(tensor.shape, tensor.stride())
        copies.append(copy.copy_(tensor))
        start += size // room.element_size()
    return copies
