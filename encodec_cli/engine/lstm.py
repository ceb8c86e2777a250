"""The LSTM for coding: torch's own, with the weights of oneDNN's kernel laid out beforehand."""

import torch
from torch import Tensor

from encodec_cli.engine.activation import UNIT
from encodec_cli.engine.rows import Rows, Scratch
from encodec_cli.engine.windows import State
from encodec_cli.nn.lstm import StreamableLSTM

__all__ = ["CompiledLSTM"]


class CompiledLSTM:
    """Residual LSTM over the rows of all streams together.

    With one stream each step reads the whole recurrent matrix for one vector, so memory sets the
    pace; with many, it is read once for all of them. A stream's state is `[2, layers, C]`: hidden,
    cell.
    """

    reflected = 0

    def __init__(self, module: StreamableLSTM) -> None:
        self._module = module.lstm
        self._skip = module.skip
        self._dtype = next(module.parameters()).dtype
        self._packed = _packed(module.lstm)

    def step(self, x: Rows, states: list[State], scratch: Scratch) -> Rows:
        """`[B, T, C] -> [B, T, C]`; streams that go on have T rows."""
        if not x.data.shape[1]:  # all streams end, with nothing more to come
            return x
        if x.data.dtype != self._dtype:  # the layers around compute in half precision
            exact = self.step(x.with_data(x.data.to(self._dtype)), states, scratch)
            return exact.with_data(exact.data.to(x.data.dtype))
        fresh = x.data.new_zeros(2, self._module.num_layers, x.data.shape[2])
        before = torch.stack([fresh if s is None else s for s in states], dim=2)
        y = x.data.transpose(0, 1) * (1 / UNIT)
        if self._packed and len(states) == 1:
            y, after = self._run_packed(y, before)
        else:
            y, (hidden, cell) = self._module(y, (before[0].contiguous(), before[1].contiguous()))
            after = torch.stack((hidden, cell))
        for b, last in enumerate(x.last):
            states[b] = None if last else after[:, :, b].clone()
        y = y.transpose(0, 1)
        return x.with_data(torch.add(x.data, y, alpha=UNIT) if self._skip else y * UNIT)

    def _run_packed(self, y: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs `[T, 1, C]` and state `[2, layers, 1, C]` of one stream."""
        after = torch.empty_like(before)
        size = self._module.hidden_size
        for i, weights in enumerate(self._packed):
            hidden, cell = before[0, i : i + 1], before[1, i : i + 1]
            y, after[0, i : i + 1], after[1, i : i + 1], _ = torch.ops.aten.mkldnn_rnn_layer(
                y, *weights, hidden, cell, False, [], _LSTM, size, 1, True, False, False, False
            )
        return y, after


_LSTM = 2
"""The kind of cell, as oneDNN's operator counts them."""
_TYPICAL_ROWS = 75


def _packed(module: torch.nn.LSTM) -> list[list[Tensor]]:
    """Each layer's weights as oneDNN reads them for one stream; none where that is not to be had.

    `nn.LSTM` would lay them out anew in each call, which costs a quarter of the time of a block.
    """
    example = module.weight_ih_l0
    found = hasattr(torch.ops.mkldnn, "_reorder_mkldnn_rnn_layer_weight")
    if not (found and _has_onednn() and example.device.type == "cpu"):
        return []
    if example.dtype != torch.float32:
        return []
    layers = []
    for i in range(module.num_layers):
        w_in, w_rec, b_in, b_rec = (
            getattr(module, f"{kind}_l{i}").detach()
            for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        packed = torch.ops.mkldnn._reorder_mkldnn_rnn_layer_weight(
            w_in,
            w_rec,
            module.hidden_size,
            False,
            True,
            False,
            [_TYPICAL_ROWS, 1, module.input_size],
        )
        layers.append([*packed, b_in, b_rec])
    return layers


def _has_onednn() -> bool:
    return bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
