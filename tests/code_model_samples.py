"""Code models of random numbers, the same on every machine, and codes for them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from encodec_cli.entropy.integer.model import CodeModel
from encodec_cli.entropy.integer.sizes import Sizes
from encodec_cli.entropy.integer.weights import Arrays, array_shapes

__all__ = ["SMALL", "USUAL", "random_arrays", "random_codes", "random_model"]

SMALL = Sizes(16, (1, 3), inputs=5, channels=6, hidden=7, outputs=4, dilations=(1, 3))
USUAL = Sizes(1024, (2, 4))
"""As large as the bundled one's, with fewer codebooks."""

_SHIFTS = {"tables": 2, "inputs": 1, "blocks": 3, "context": 2}
"""Of what is no product."""


def random_arrays(sizes: Sizes, seed: int = 1) -> dict[str, NDArray[np.integer[Any]]]:
    """Whatever `Sizes`: activations use their range, frequencies theirs, sums keep their bounds."""
    random = np.random.RandomState(seed)  # its stream is frozen, unlike a Generator's
    arrays: dict[str, NDArray[np.integer[Any]]] = {}
    for name, (dtype, shape) in sorted(array_shapes(sizes).items()):
        part = name.split(".")[0]
        if dtype is np.int8:
            values = random.randint(-40, 41, shape)
        elif dtype is np.int32:
            values = random.randint(-3000, 3001, shape)
        elif part in _SHIFTS:
            values = np.full(shape, _SHIFTS[part])
        else:  # products keep some hundreds of steps
            width = array_shapes(sizes)[f"{part}.weight"][1][-1]
            values = random.randint(4, 7, shape) + width.bit_length() // 2
        arrays[name] = values.astype(dtype)
    return arrays


def random_model(sizes: Sizes = SMALL, seed: int = 1) -> CodeModel:
    arrays: Arrays = random_arrays(sizes, seed)
    return CodeModel(arrays, sizes, "0" * 64)


def random_codes(sizes: Sizes, codebooks: int, frames: int, seed: int = 2) -> NDArray[np.uint16]:
    """Codes `[K, T]`."""
    random = np.random.RandomState(seed)
    return random.randint(0, sizes.bins, (codebooks, frames)).astype(np.uint16)
