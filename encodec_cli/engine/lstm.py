"""The LSTM compiled for coding: the input's share in one product, then one product per step."""

import torch
from torch import Tensor

from encodec_cli.engine.layers import State
from encodec_cli.engine.rows import Rows, Scratch
from encodec_cli.nn.lstm import StreamableLSTM

__all__ = ["CompiledLSTM"]


class CompiledLSTM:
    """Residual LSTM over the rows of all streams together.

    With one stream each step reads the whole recurrent matrix for one vector, so memory sets the
    pace; with many, it is read once for all of them. A stream's state is `[2, layers, C]`: hidden,
    cell.
    """

    reflected = 0

    def __init__(self, module: StreamableLSTM, name: str) -> None:
        self._module = module.lstm
        self._skip = module.skip
        self._name = name
        self._layers = []
        for i in range(module.lstm.num_layers):
            w_in, w_rec, b_in, b_rec = (
                _gates(getattr(module.lstm, f"{kind}_l{i}").detach())
                for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            self._layers.append((w_in.t().contiguous(), w_rec.t().contiguous(), b_in + b_rec))

    def step(self, x: Rows, states: list[State], scratch: Scratch) -> Rows:
        """`[B, T, C] -> [B, T, C]`; streams that go on have T rows."""
        weight = self._layers[0][0]
        if x.data.dtype != weight.dtype:  # the layers around compute in half precision
            exact = self.step(x.with_data(x.data.to(weight.dtype)), states, scratch)
            return exact.with_data(exact.data.to(x.data.dtype))
        batch, rows, size = x.data.shape
        fresh = x.data.new_zeros(2, len(self._layers), size)
        before = torch.stack([fresh if s is None else s for s in states], dim=2)
        hidden, cell = before[0].contiguous(), before[1].contiguous()
        sequence = scratch.take(self._name, x.data, batch, rows, size)
        if x.data.is_cuda:
            y, (hidden, cell) = self._module(x.data.transpose(0, 1), (hidden, cell))
            sequence.copy_(y.transpose(0, 1))
        else:
            sequence.copy_(x.data)
            for layer in range(len(self._layers)):
                self._run(layer, sequence, hidden[layer], cell[layer], scratch)
        if self._skip:
            sequence.add_(x.data)
        after = torch.stack((hidden, cell))
        for b, last in enumerate(x.last):
            states[b] = None if last else after[:, :, b].clone()
        return x.with_data(sequence)

    def _run(
        self, layer: int, rows: Tensor, hidden: Tensor, cell: Tensor, scratch: Scratch
    ) -> None:
        """Put the layer's outputs in the place of its inputs `rows` `[B, T, C]`; move the state."""
        w_in, w_rec, bias = self._layers[layer]
        batch, count, size = rows.shape
        gates = scratch.take("gates", rows, batch, count, 4 * size)
        torch.addmm(bias, rows.flatten(0, 1), w_in, out=gates.flatten(0, 1))
        state = hidden
        if batch == 1:  # vectors: a matrix is read faster for one than for a matrix of one row
            gates, rows, state, cell = gates[0], rows[0], hidden[0], cell[0]
        totals, squash = gates.unbind(-2), gates[..., : 3 * size].unbind(-2)
        i, f, o, g = (part.unbind(-2) for part in gates.chunk(4, dim=-1))
        outputs, transposed = rows.unbind(-2), w_rec.t()
        for t in range(count):
            if batch == 1:
                totals[t].addmv_(transposed, state)
            else:
                totals[t].addmm_(state, w_rec)
            squash[t].sigmoid_()
            g[t].tanh_()
            cell.mul_(f[t]).addcmul_(i[t], g[t])
            state = torch.tanh(cell, out=outputs[t]).mul_(o[t])
        hidden.copy_(rows[..., -1, :])


def _gates(parameter: Tensor) -> Tensor:
    """From torch's order of gates, i f g o, to i f o g: those with a sigmoid side by side."""
    i, f, g, o = parameter.chunk(4)
    return torch.cat((i, f, o, g))
