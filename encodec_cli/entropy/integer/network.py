"""The integer network in numpy: whole numbers held in float32, every result exact.

Weights are multiplied by the power of two that their shift stands for; biases, and the half that
rounds, are the weights of one more input that is always 1. So a layer is one product, rounded
down. All numbers are multiples of that power whose sums stay below 2 ** 24 of it
(`weights.check_arrays`): float32 is exact, and no order of additions matters.
"""

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encodec_cli.entropy.integer.frequencies import FREQUENCIES
from encodec_cli.entropy.integer.sizes import ACTIVATION_LIMIT, Sizes
from encodec_cli.entropy.integer.weights import Arrays

__all__ = [
    "Book",
    "ContextNetwork",
    "Floats",
    "IntegerNetwork",
    "Layer",
    "Scratch",
    "Shift",
    "with_one",
]

Floats = NDArray[np.float32]

_NATS = -np.log(FREQUENCIES).astype(np.float32)


class Shift:
    """Sums in a row shifted to the right, rounded, within the limits.

    Numbers stand in rows, for numpy is slower with single ones.
    """

    def __init__(self, shift: np.integer[Any], count: int) -> None:
        self._scale = np.full(count, 0.5 ** int(shift), np.float32)
        self.half = np.full(count, 0.5 if shift else 0, np.float32)
        self._most = np.full(count, ACTIVATION_LIMIT, np.float32)
        self._least = -self._most

    def __call__(self, x: Floats, out: Floats) -> Floats:
        np.multiply(x, self._scale, out=out)
        np.add(out, self.half, out=out)
        return self.rounded(out, out=out)

    def rounded(self, x: Floats, out: Floats) -> Floats:
        """Sums that are shifted already, and have the half that rounds them."""
        np.floor(x, out=out)
        np.maximum(out, self._least, out=out)
        return np.minimum(out, self._most, out=out)


class Layer:
    """`product` of `weights` for rows `[M, I + 1]` whose last number is 1.

    A single row may come as `[I + 1]`, which takes less time.

    With `least` the outputs are kept from there to the limit, and there is one more, always 1, for
    the layer after it.
    """

    def __init__(self, arrays: Arrays, name: str, *at: int, least: float | None = None) -> None:
        shift = arrays[f"{name}.shift"][at].astype(np.int64)
        bias = arrays[f"{name}.bias"][at] if f"{name}.bias" in arrays else np.zeros(1, np.int32)
        half = (1 << shift) >> 1
        rows = np.column_stack((arrays[f"{name}.weight"][at], bias.astype(np.int64) + half))
        rows = rows * np.ldexp(1.0, -shift)[:, None]
        if least is not None:
            rows = np.pad(rows, ((0, 1), (0, 0)))
            rows[-1, -1] = 1
        self._matrix = np.ascontiguousarray(rows.T, np.float32)
        self._least = None if least is None else np.full(len(rows), least, np.float32)
        self._most = np.full(len(rows), ACTIVATION_LIMIT, np.float32)

    def __call__(self, x: Floats, out: Floats | None = None) -> Floats:
        y: Floats = np.matmul(x, self._matrix, out=out)
        np.floor(y, out=y)
        if self._least is not None:
            np.maximum(y, self._least, out=y)
            np.minimum(y, self._most, out=y)
        return y


class Book:
    """What gives the frequencies of one codebook's codes."""

    def __init__(self, arrays: Arrays, book: int) -> None:
        self._mix = Layer(arrays, "mix", book, least=0)
        self._out = Layer(arrays, "out", book, least=-ACTIVATION_LIMIT)
        shift = int(arrays["logits.shift"][book])
        rows = np.column_stack((arrays["logits.weight"][book], arrays["logits.bias"][book]))
        # Negative: the largest logit becomes the least, and differences from it are positive.
        self._rows = np.ascontiguousarray(rows.T * -(0.5**shift), np.float32)
        table = arrays["tables"][book].astype(np.int64) << int(arrays["tables.shift"][book])
        self.table = (table * 0.5 ** int(arrays["inputs.shift"][0])).astype(np.float32)
        """What each code adds to the inputs of the next, `[bins, I]`, in their steps."""

    def frequencies(self, known: Floats, scratch: "Scratch") -> NDArray[np.uint32]:
        """Frequencies of all codes, `[M, bins]`, of rows `[M, C + I + 1]`: context, inputs, 1.

        They lie in `scratch`, until the next call. A single row without the M gives `[bins]`.
        """
        rows = slice(len(known)) if known.ndim > 1 else 0
        below, rounded, index = scratch.below[rows], scratch.rounded[rows], scratch.index[rows]
        hidden = self._mix(known, out=scratch.hidden[rows])
        np.matmul(self._out(hidden, out=scratch.outputs[rows]), self._rows, out=below)
        np.subtract(below, below.min(axis=-1, keepdims=True), out=below)
        # By way of int32, which processors convert to several at a time.
        np.copyto(rounded, below, casting="unsafe")
        np.copyto(index, rounded)
        return FREQUENCIES.take(index, mode="clip", out=scratch.frequencies[rows])

    def nats(self, known: Floats) -> Floats:
        """What each code takes, `[bins, M]`: minus the logarithm of its share of all."""
        below: Floats = self._rows.T @ self._out(self._mix(known)).T
        below -= below.min(axis=0)
        index = below.astype(np.intp)
        totals = FREQUENCIES.take(index, mode="clip").sum(axis=0, dtype=np.float32)
        nats: Floats = np.take(_NATS, index, mode="clip", out=below)
        nats += np.log(totals)
        return nats


class Scratch:
    """Memory for up to `rows` rows of numbers: getting new memory takes time."""

    def __init__(self, rows: int, sizes: Sizes) -> None:
        bins = sizes.bins
        self.hidden = np.empty((rows, sizes.hidden + 1), np.float32)
        self.outputs = np.empty((rows, sizes.outputs + 1), np.float32)
        self.below = np.empty((rows, bins), np.float32)
        self.rounded = np.empty((rows, bins), np.int32)
        self.index = np.empty((rows, bins), np.intp)
        self.frequencies = np.empty((rows, bins), np.uint32)
        self.bounds = np.empty(rows * bins, np.uint64)


class ContextNetwork:
    """What the frames before say of the next."""

    def __init__(self, arrays: Arrays, sizes: Sizes) -> None:
        self.sizes = sizes
        blocks = range(len(sizes.dilations))
        self.tags = arrays["tags"].astype(np.float32)
        self.input = Layer(arrays, "input")
        self.shifts = [Shift(arrays["blocks.shift"][i], sizes.channels) for i in blocks]
        self.first = [Layer(arrays, "first", i, least=0) for i in blocks]
        self.second = [Layer(arrays, "second", i) for i in blocks]
        self.shift = Shift(arrays["context.shift"][0], sizes.channels)

    def __call__(self, inputs: Floats, tag: int) -> Floats:
        """Context `[B, T, C]` of the frames before each, given all of them, `[B, T, I]`."""
        batch, frames, width = inputs.shape
        channels = self.sizes.channels
        x = np.zeros((batch, frames, channels), np.float32)
        before = with_one(inputs[:, :-1].reshape(batch * (frames - 1), width))
        x[:, 1:] = self.input(before).reshape(batch, frames - 1, channels)
        x += self.tags[tag]
        both = with_one(np.zeros((batch * frames, 2 * channels), np.float32))
        rows = both.reshape(batch, frames, -1)
        for i, dilation in enumerate(self.sizes.dilations):
            u = self.shifts[i](x, out=rows[..., channels:-1])
            rows[:, :dilation, :channels] = 0
            rows[:, dilation:, :channels] = u[:, :-dilation]
            x += self.second[i](self.first[i](both)).reshape(x.shape)
        return self.shift(x, out=x)


class IntegerNetwork:
    """Context and frequencies of codes, of the arrays that `check_arrays` passed."""

    def __init__(self, arrays: Arrays, sizes: Sizes) -> None:
        self.sizes = sizes
        self.context = ContextNetwork(arrays, sizes)
        self._arrays = arrays
        self._books: list[Book] = []
        self._making = threading.Lock()
        self._shift = Shift(arrays["inputs.shift"][0], sizes.inputs)
        self.inputs = self._shift.rounded
        """Sums of tables as products take them."""

    def books(self, codebooks: int) -> list[Book]:
        """The first `codebooks`, each made when it is first asked for."""
        with self._making:
            for k in range(len(self._books), codebooks):
                self._books.append(Book(self._arrays, k))
            return self._books[:codebooks]

    def no_sums(self, *shape: int) -> Floats:
        """Sums `[..., I]` of no tables, with the half that rounds them."""
        return np.tile(self._shift.half, (*shape, 1))

    def known(self, rows: int) -> Floats:
        """Rows `[M, C + I + 1]` for `Book.frequencies`, to be filled."""
        return with_one(np.zeros((rows, self.sizes.channels + self.sizes.inputs), np.float32))


def with_one(x: Floats) -> Floats:
    """`x` `[M, I]` with a last column of ones."""
    wider = np.ones((x.shape[0], x.shape[1] + 1), np.float32)
    wider[:, :-1] = x
    return wider
