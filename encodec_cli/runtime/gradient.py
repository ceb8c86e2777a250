"""Layers run one after the other, and back again: gradients by what went in.

    inputs [n, C] --layers--> outputs [m, C']
    gradient of a number by the inputs <--ways back, last layer first-- its gradient by the outputs

Weights have no gradient. On the way back a convolution is one with its kernel reversed, and an
upsampling one that strides; activations keep what they were given, and nothing else is kept. Rows
that no wanted output depends on are left out of each layer.
"""

from collections.abc import Callable, Sequence

import numpy as np

from encodec_cli.config.layers import Convolution, Layer, TransposedConvolution
from encodec_cli.runtime.norm import Back
from encodec_cli.runtime.scratch import Numbers

__all__ = ["Traced", "traced"]

Traced = Callable[[Numbers], tuple[Numbers, Back]]
"""A layer: from a whole signal `[n, C]`, n >= 1, to what it makes of it, and the way back."""


def traced(
    layers: Sequence[Layer], runs: Sequence[Traced], inputs: Numbers, first: int
) -> tuple[Numbers, Back]:
    """Outputs from row `first` on of a whole signal `[n, C]`, and the way back from them.

    The `runs` are those of the `layers`.
    """
    starts = [first]
    for layer in reversed(layers):
        starts.append(layer.first_input(starts[-1]))
    starts.reverse()
    backs: list[Back] = []
    rows, offset = inputs, 0
    for layer, run, start in zip(layers, runs, starts, strict=False):
        rows, back_to_all = _from(rows, start - offset)
        rows, back = run(rows)
        backs += back_to_all, back
        offset = _made_of(layer, start)
    rows, back_to_all = _from(rows, first - offset)
    backs.append(back_to_all)

    def all_back(gradient: Numbers) -> Numbers:
        for back in reversed(backs):
            gradient = back(gradient)
        return gradient

    return rows, all_back


def _made_of(layer: Layer, row: int) -> int:
    """The first of the rows that a layer makes of one row, which begins a stride."""
    match layer:
        case Convolution():
            return row // layer.stride
        case TransposedConvolution():
            return row * layer.stride
        case _:
            return row


def _from(rows: Numbers, first: int) -> tuple[Numbers, Back]:
    """All but the first rows, which the gradient does not depend on."""

    def back(gradient: Numbers) -> Numbers:
        if not first:
            return gradient
        return np.concatenate((np.zeros((first, rows.shape[1]), rows.dtype), gradient))

    return rows[first:], back
