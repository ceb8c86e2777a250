"""The LSTM over the rows of all streams together."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encodec_cli.config.layers import LSTM

__all__ = ["LSTMState", "RecurrentLayer"]

_Numbers = NDArray[np.floating[Any]]


@dataclass
class LSTMState:
    """Hidden and cell state of one stream after its last row, `[layers, C]` each."""

    hidden: _Numbers
    cell: _Numbers


class RecurrentLayer:
    """Residual LSTM over the rows of all streams together.

    With one stream each row reads the whole recurrent matrix for one vector, so memory sets the
    pace; with many, it is read once for all of them.

    With sigmoid(x) = (tanh(x / 2) + 1) / 2 all four gates are one tanh; the halves of its argument
    are part of the weights.
    """

    def __init__(self, plan: LSTM, get: Callable[[str], _Numbers], module: str) -> None:
        self._plan = plan
        self._layers = []
        for i in range(plan.layers):
            inward, recurrent, bias, more = (
                get(f"{module}.lstm.{kind}_l{i}")
                for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            halves = np.repeat(np.array([0.5, 0.5, 1.0, 0.5], inward.dtype), plan.width)
            self._layers.append(
                (
                    np.ascontiguousarray((inward * halves[:, None]).T),
                    np.ascontiguousarray(recurrent * halves[:, None]),
                    (bias + more) * halves,
                )
            )

    def new_state(self) -> LSTMState:
        dtype = self._layers[0][0].dtype
        shape = (self._plan.layers, self._plan.width)
        return LSTMState(np.zeros(shape, dtype), np.zeros(shape, dtype))

    def step(self, inputs: list[_Numbers], states: list[LSTMState]) -> list[_Numbers]:
        """`[n, C]` of each stream; the longest first would be no faster."""
        # Rows of one time lie together; streams in falling order of length, so that those that
        # still go on are always the first.
        order = sorted(range(len(inputs)), key=lambda i: -inputs[i].shape[0])
        lengths = [inputs[i].shape[0] for i in order]
        if not lengths or not lengths[0]:
            return inputs
        x = np.zeros((lengths[0], len(order), self._plan.width), inputs[0].dtype)
        for place, i in enumerate(order):
            x[: lengths[place], place] = inputs[i]
        y = x
        for n, layer in enumerate(self._layers):
            hidden = np.stack([states[i].hidden[n] for i in order])
            cell = np.stack([states[i].cell[n] for i in order])
            y = self._run(layer, y, hidden, cell, lengths)
            for place, i in enumerate(order):
                states[i].hidden[n], states[i].cell[n] = hidden[place], cell[place]
        y = y + x
        outputs = list(inputs)
        for place, i in enumerate(order):
            outputs[i] = np.ascontiguousarray(y[: lengths[place], place])
        return outputs

    def _run(
        self,
        layer: tuple[_Numbers, _Numbers, _Numbers],
        x: _Numbers,
        hidden: _Numbers,
        cell: _Numbers,
        lengths: list[int],
    ) -> _Numbers:
        """Outputs `[T, B, C]` of one layer; moves `hidden` and `cell` `[B, C]` on."""
        inward, recurrent, bias = layer
        steps, batch, width = x.shape
        before = (x.reshape(-1, width) @ inward + bias).reshape(steps, batch, 4 * width)
        out = np.zeros_like(x)
        gates = np.empty((batch, 4 * width), x.dtype)
        passed = np.empty((batch, width), x.dtype)
        for t in range(steps):
            if lengths[batch - 1] <= t:
                batch = sum(length > t for length in lengths)
                hidden, cell = hidden[:batch], cell[:batch]
                gates, passed = gates[:batch], passed[:batch]
            if batch == 1:
                np.dot(recurrent, hidden[0], out=gates[0])
            else:
                np.matmul(hidden, recurrent.T, out=gates)
            np.add(gates, before[t, :batch], out=gates)
            np.tanh(gates, out=gates)
            both, new, output = (
                gates[:, : 2 * width],
                gates[:, 2 * width : 3 * width],
                gates[:, 3 * width :],
            )
            np.multiply(both, 0.5, out=both)
            np.add(both, 0.5, out=both)
            np.multiply(cell, gates[:, width : 2 * width], out=cell)
            np.multiply(new, gates[:, :width], out=new)
            np.add(cell, new, out=cell)
            np.tanh(cell, out=passed)
            np.add(output, 1.0, out=output)
            np.multiply(passed, output, out=passed)
            np.multiply(passed, 0.5, out=hidden)
            out[t, :batch] = hidden
        return out
