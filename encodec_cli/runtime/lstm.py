"""The LSTM over the rows of all streams together."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import DTypeLike

from encodec_cli.config.layers import LSTM
from encodec_cli.runtime.norm import Back
from encodec_cli.runtime.scratch import Numbers

__all__ = ["LSTMState", "RecurrentLayer"]


@dataclass
class LSTMState:
    """Twice the hidden state, and the cells, of one stream after its last row, `[layers, C]`."""

    hidden: Numbers
    cell: Numbers


class RecurrentLayer:
    """Residual LSTM over the rows of all streams together.

    With few streams each row reads the whole recurrent matrix for each of them, so memory sets the
    pace; with many, it is read once for all.

    The cell works with twice its output, 2 h, and sigmoid(x) = (tanh(x / 2) + 1) / 2: so all four
    gates are one tanh, and the halves are part of the weights.

        2 c' = (tanh f + 1) c + (tanh i + 1) tanh g        2 h = (tanh o + 1) tanh c'
    """

    def __init__(self, plan: LSTM, get: Callable[[str], Numbers], module: str) -> None:
        self._plan = plan
        self._layers = [
            _Weights.of(*(get(f"{module}.lstm.{kind}_l{i}") for kind in _TENSORS), first=i == 0)
            for i in range(plan.layers)
        ]

    def new_state(self) -> LSTMState:
        dtype = self._layers[0].inward.dtype
        shape = (self._plan.layers, self._plan.width)
        return LSTMState(np.zeros(shape, dtype), np.zeros(shape, dtype))

    def step(self, inputs: list[Numbers], states: list[LSTMState]) -> list[Numbers]:
        """Outputs `[n, C]` of each stream's next rows `[n, C]`; n may differ."""
        # Rows of one time lie together; the streams in falling order of length, so that those that
        # still go on are always the first.
        order = sorted(range(len(inputs)), key=lambda i: -inputs[i].shape[0])
        lengths = [inputs[i].shape[0] for i in order]
        if not lengths or not lengths[0]:
            return inputs
        x = np.zeros((lengths[0], len(order), self._plan.width), inputs[0].dtype)
        for place, i in enumerate(order):
            x[: lengths[place], place] = inputs[i]
        y = x
        for n, weights in enumerate(self._layers):
            hidden = np.stack([states[i].hidden[n] for i in order])
            cell = np.stack([states[i].cell[n] for i in order])
            y = _run(weights, y, hidden, cell, lengths)
            for place, i in enumerate(order):
                states[i].hidden[n], states[i].cell[n] = hidden[place], cell[place]
        y *= 0.5
        y += x
        outputs = list(inputs)
        for place, i in enumerate(order):
            outputs[i] = np.ascontiguousarray(y[: lengths[place], place])
        return outputs

    def traced(self, x: Numbers) -> tuple[Numbers, Back]:
        """Outputs `[n, C]` of a whole signal `[n, C]`, n >= 1, and the way back."""
        count, width = x.shape
        traces = []
        y = x[:, None]
        for weights in self._layers:
            trace = _Trace.of(count, width, x.dtype)
            start = np.zeros((1, width), x.dtype)
            y = _run(weights, y, start, start.copy(), [count], trace)
            traces.append(trace)

        def back(gradient: Numbers) -> Numbers:
            found = 0.5 * gradient
            for weights, trace in zip(reversed(self._layers), reversed(traces), strict=True):
                found = _run_back(weights, trace, found)
            np.add(found, gradient, out=found)
            return found

        return 0.5 * y[:, 0] + x, back


_TENSORS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
_FEW_STREAMS = 4
"""Streams up to which a product for each is faster than one for all, whose operands are copied."""


@dataclass(frozen=True)
class _Weights:
    """Of one layer: inward `[C, 4 C]`, recurrent `[4 C, C]`, bias `[4 C]`; gates i, f, o, g."""

    inward: Numbers
    recurrent: Numbers
    bias: Numbers

    @classmethod
    def of(cls, *tensors: Numbers, first: bool) -> Self:
        """From torch's, whose gates are i, f, g, o; the first layer's inputs are not doubled."""
        width = tensors[1].shape[1]
        halves = np.repeat(np.array([0.5, 0.5, 0.5, 1.0], tensors[0].dtype), width)
        inward, recurrent, bias, more = (
            np.concatenate((t[: 2 * width], t[3 * width :], t[2 * width : 3 * width]))
            for t in tensors
        )
        return cls(
            np.ascontiguousarray((inward * halves[:, None]).T) * (1.0 if first else 0.5),
            recurrent * (0.5 * halves[:, None]),
            (bias + more) * halves,
        )


@dataclass(frozen=True)
class _Trace:
    """What the way back of one layer and stream needs.

    Attributes:
        gates: tanh of the gates `[T, 1, 4 C]`, all but the last plus 1.
        cells: before and after each row, `[T + 1, 1, C]`.
        passed: their tanh after each row, `[T, 1, C]`.
    """

    gates: Numbers
    cells: Numbers
    passed: Numbers

    @classmethod
    def of(cls, count: int, width: int, dtype: DTypeLike) -> Self:
        shapes = (count, 1, 4 * width), (count + 1, 1, width), (count, 1, width)
        return cls(*(np.zeros(shape, dtype) for shape in shapes))


def _run(
    weights: _Weights,
    x: Numbers,
    hidden: Numbers,
    cell: Numbers,
    lengths: list[int],
    trace: _Trace | None = None,
) -> Numbers:
    """Twice the outputs `[T, B, C]` of one layer; moves `hidden` and `cell` `[B, C]` on.

    Of streams that all have T rows a `trace` keeps what the way back needs.
    """
    steps, batch, width = x.shape
    before = x.reshape(-1, width) @ weights.inward
    before += weights.bias
    before = before.reshape(steps, batch, 4 * width)
    out = np.zeros_like(x)
    gates = np.empty((batch, 4 * width), x.dtype)
    passed = np.empty((batch, width), x.dtype)
    for t in range(steps):
        if lengths[batch - 1] <= t:
            batch = sum(length > t for length in lengths)
            hidden, cell = hidden[:batch], cell[:batch]
            gates, passed = gates[:batch], passed[:batch]
        if batch <= _FEW_STREAMS:
            for row, found in zip(hidden, gates, strict=True):
                np.dot(weights.recurrent, row, out=found)
        else:
            np.matmul(hidden, weights.recurrent.T, out=gates)
        np.add(gates, before[t, :batch], out=gates)
        np.tanh(gates, out=gates)
        new = gates[:, 3 * width :]
        opened = gates[:, : 3 * width]
        np.add(opened, 1.0, out=opened)
        if trace is not None:
            trace.gates[t] = gates
        np.multiply(cell, gates[:, width : 2 * width], out=cell)
        np.multiply(new, gates[:, :width], out=new)
        np.add(cell, new, out=cell)
        np.multiply(cell, 0.5, out=cell)
        np.tanh(cell, out=passed)
        np.multiply(passed, gates[:, 2 * width : 3 * width], out=hidden)
        out[t, :batch] = hidden
        if trace is not None:
            trace.cells[t + 1], trace.passed[t] = cell, passed
    return out


def _run_back(weights: _Weights, trace: _Trace, gradient: Numbers) -> Numbers:
    """From the gradient by twice the outputs `[T, C]` of one layer to that by its inputs."""
    count, width = gradient.shape
    gates, cells, passed = trace.gates[:, 0], trace.cells[:, 0], trace.passed[:, 0]
    inward, forget, outward, new = (gates[:, i * width : (i + 1) * width] for i in range(4))
    by_gates = np.empty_like(gates)
    by_cell, by_hidden = np.zeros((2, width), gradient.dtype)
    for t in range(count - 1, -1, -1):
        by_hidden = by_hidden + gradient[t]
        by_cell = by_cell + by_hidden * outward[t] * (1 - np.square(passed[t]))
        half = 0.5 * by_cell
        each = by_gates[t].reshape(4, width)
        each[0] = half * new[t] * _of_sigmoid(inward[t])
        each[1] = half * cells[t] * _of_sigmoid(forget[t])
        each[2] = by_hidden * passed[t] * _of_sigmoid(outward[t])
        each[3] = half * inward[t] * (1 - np.square(new[t]))
        by_cell = half * forget[t]
        by_hidden = np.dot(by_gates[t], weights.recurrent)
    found: Numbers = by_gates @ weights.inward.T
    return found


def _of_sigmoid(opened: Numbers) -> Numbers:
    """Derivative of tanh(x) + 1, where it has this value."""
    found: Numbers = opened * (2 - opened)
    return found
