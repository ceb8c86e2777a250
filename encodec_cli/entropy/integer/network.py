"""The integer network in numpy: whole numbers held in float32, every result exact.

Weights are multiplied by the power of two that their shift stands for, and half is added to the
bias, so that a layer is a product, an addition and a rounding down. All numbers are multiples of
that power whose sums stay below 2 ** 24 of it (`weights.check_arrays`): float32 is exact.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encodec_cli.entropy.integer.frequencies import FREQUENCIES
from encodec_cli.entropy.integer.sizes import ACTIVATION_LIMIT, Sizes
from encodec_cli.entropy.integer.weights import Arrays

__all__ = ["Book", "ContextState", "IntegerNetwork"]

Floats = NDArray[np.float32]

_LIMIT = np.float32(ACTIVATION_LIMIT)
_HALF = np.float32(0.5)


class _Layer:
    """`product` of `weights` for rows `[M, I]`, before the limits."""

    def __init__(
        self,
        weight: NDArray[np.generic],
        bias: NDArray[np.generic] | None,
        shift: NDArray[np.generic],
    ) -> None:
        scale = np.ldexp(1.0, -shift.astype(np.int64))
        half = (1 << shift.astype(np.int64)) >> 1
        total = half if bias is None else half + bias.astype(np.int64)
        self.matrix = np.ascontiguousarray((weight * scale[:, None]).T, np.float32)
        self.bias = (total * scale).astype(np.float32)

    def __call__(self, x: Floats) -> Floats:
        y: Floats = x @ self.matrix
        y += self.bias
        return np.floor(y, out=y)


class Book:
    """What gives the frequencies of one codebook's codes."""

    def __init__(self, arrays: Arrays, book: int) -> None:
        self._mix, self._out = (
            _Layer(arrays["mix.weight"][book], arrays["mix.bias"][book], arrays["mix.shift"][book]),
            _Layer(arrays["out.weight"][book], None, arrays["out.shift"][book]),
        )
        # One more output, always 1, takes the biases of the logits into their product.
        self._out.matrix = np.pad(self._out.matrix, ((0, 0), (0, 1)))
        self._out.bias = np.append(self._out.bias, np.float32(1))
        shift = int(arrays["logits.shift"][book])
        rows = np.concatenate(
            (arrays["logits.weight"][book], arrays["logits.bias"][book][:, None]), axis=1
        )
        # Negative, so that what is added to the largest logit is how far each lies below it.
        self._rows = np.ascontiguousarray(rows.T * -(0.5**shift), np.float32)
        self._ceiling = np.float32(1 - 0.5**shift)
        table = arrays["tables"][book].astype(np.int64) << int(arrays["tables.shift"][book])
        self.table = table.astype(np.float32)
        """What each code adds to the inputs of the next, `[bins, I]`."""

    def frequencies(self, context_and_inputs: Floats) -> NDArray[np.int32]:
        """Frequencies of all codes, `[M, bins]`, of rows `[M, C + I]`."""
        y = self._mix(context_and_inputs)
        np.maximum(y, 0, out=y)
        np.minimum(y, _LIMIT, out=y)
        o = self._out(y)
        _limit(o)
        below: Floats = o @ self._rows
        largest = np.floor(-below.min(axis=1, keepdims=True))
        below += largest + self._ceiling
        found: NDArray[np.int32] = FREQUENCIES.take(below.astype(np.intp), mode="clip")
        return found


@dataclass
class ContextState:
    """What the frames so far left in each block, `[d, B, C]`, the oldest at `frame % d`."""

    past: list[Floats]
    frame: int = 0


class IntegerNetwork:
    """Context and frequencies of codes."""

    def __init__(self, arrays: Arrays, sizes: Sizes) -> None:
        self.sizes = sizes
        self._input_scale = _power(arrays["inputs.shift"][0])
        self._tags = arrays["tags"].astype(np.float32)
        self._input = _Layer(arrays["input.weight"], arrays["input.bias"], arrays["input.shift"])
        self._blocks = [
            (
                _power(arrays["blocks.shift"][i]),
                _Layer(
                    arrays["first.weight"][i], arrays["first.bias"][i], arrays["first.shift"][i]
                ),
                _Layer(
                    arrays["second.weight"][i], arrays["second.bias"][i], arrays["second.shift"][i]
                ),
            )
            for i in range(len(sizes.dilations))
        ]
        self._context_scale = _power(arrays["context.shift"][0])
        self.books = [Book(arrays, k) for k in range(sizes.codebooks)]

    def inputs(self, sums: Floats) -> Floats:
        """Sums of tables `[..., I]` as products take them."""
        return _rescaled(sums, self._input_scale)

    def context(self, inputs: Floats, tag: int) -> Floats:
        """Context `[B, T, C]` of the frames before each, given all of them, `[B, T, I]`."""
        batch, frames, _ = inputs.shape
        x = np.empty((batch, frames, self.sizes.channels), np.float32)
        x[:, 0] = 0
        before = np.ascontiguousarray(inputs[:, :-1])
        x[:, 1:] = self._input(before.reshape(-1, inputs.shape[2])).reshape(batch, frames - 1, -1)
        x += self._tags[tag]
        for dilation, (scale, first, second) in zip(
            self.sizes.dilations, self._blocks, strict=True
        ):
            u = _rescaled(x, scale)
            both = np.zeros((batch, frames, 2 * self.sizes.channels), np.float32)
            both[:, dilation:, : self.sizes.channels] = u[:, :-dilation]
            both[:, :, self.sizes.channels :] = u
            x += _block(both.reshape(batch * frames, -1), first, second).reshape(x.shape)
        return _rescaled(x, self._context_scale)

    def new_state(self, batch: int) -> ContextState:
        """The state before the first frame of `batch` runs."""
        channels = self.sizes.channels
        return ContextState(
            [np.zeros((d, batch, channels), np.float32) for d in self.sizes.dilations]
        )

    def step(self, state: ContextState, inputs: Floats | None, tag: int, batch: int) -> Floats:
        """Context `[B, C]` of the next frame of the first B runs, after the frame `[B, I]`.

        `inputs` is None for the first frame of all. Moves `state` on.
        """
        x = np.zeros((batch, self.sizes.channels), np.float32)
        if inputs is not None:
            x = self._input(inputs)
        x += self._tags[tag]
        for past, (scale, first, second) in zip(state.past, self._blocks, strict=True):
            u = _rescaled(x, scale)
            place = past[state.frame % len(past), :batch]
            x += _block(np.concatenate((place, u), axis=1), first, second)
            place[:] = u
        state.frame += 1
        return _rescaled(x, self._context_scale)


def _block(both: Floats, first: _Layer, second: _Layer) -> Floats:
    y = first(both)
    np.maximum(y, 0, out=y)
    np.minimum(y, _LIMIT, out=y)
    return second(y)


def _power(shift: np.generic) -> np.float32:
    return np.float32(0.5 ** int(shift))


def _rescaled(x: Floats, scale: np.float32) -> Floats:
    """`x` shifted to the right, rounded, within the limits."""
    y = x * scale
    if scale < 1:
        y += _HALF
    return _limit(np.floor(y, out=y))


def _limit(y: Floats) -> Floats:
    np.maximum(y, -_LIMIT, out=y)
    return np.minimum(y, _LIMIT, out=y)
