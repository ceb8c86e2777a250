"""The residual LSTM between the convolutions and the codes."""

from dataclasses import dataclass

from torch import Tensor, nn

from encodec_cli.nn.streamable import Streamable

__all__ = ["LSTMState", "StreamableLSTM"]


@dataclass
class LSTMState:
    """Hidden and cell state after the last step, each `[layers, B, C]`; None at the start."""

    hidden: tuple[Tensor, Tensor] | None = None


class StreamableLSTM(Streamable):
    """LSTM over time on convolutional layout. `[B, C, T] -> [B, C, T]`.

    Source: EnCodec (Défossez et al. 2022, section 3.1).
    """

    def __init__(self, dimension: int, num_layers: int = 2, skip: bool = True) -> None:
        super().__init__()
        self.skip = skip
        self.lstm = nn.LSTM(dimension, dimension, num_layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.step(x, LSTMState())

    def new_state(self) -> LSTMState:
        return LSTMState()

    def step(self, x: Tensor, state: LSTMState, last: bool = False) -> Tensor:
        """The next `[B, C, n]` of the sequence, n >= 0; moves `state` on."""
        if x.shape[-1] == 0:
            return x
        dtype = x.dtype  # of the layers around, which may compute in half precision
        x = x.permute(2, 0, 1).to(next(self.lstm.parameters()).dtype)
        y: Tensor
        y, state.hidden = self.lstm(x, state.hidden)
        if self.skip:
            y = y + x
        return y.permute(1, 2, 0).to(dtype)
