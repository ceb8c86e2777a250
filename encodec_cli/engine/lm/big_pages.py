"""Tensors in memory of big pages.

The processor translates the address of every page that it reads, and caches the last translations.
The weights of the language model, all read for every frame, span more pages of 4 KiB than that
cache holds. Linux gives pages of 2 MiB on request.
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
    """Copies with the same strides, side by side; in usual memory where there are no big pages.

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
