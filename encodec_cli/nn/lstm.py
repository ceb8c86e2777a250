"""The residual LSTM between the convolutions and the codes."""

from torch import Tensor, nn

__all__ = ["StreamableLSTM"]


class StreamableLSTM(nn.Module):
    """LSTM over time on convolutional layout. `[B, C, T] -> [B, C, T]`.

    Source: EnCodec (Défossez et al. 2022, section 3.1).
    """

    def __init__(self, dimension: int, num_layers: int = 2, skip: bool = True) -> None:
        super().__init__()
        self.skip = skip
        self.lstm = nn.LSTM(dimension, dimension, num_layers)

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(2, 0, 1)
        y: Tensor = self.lstm(x)[0]
        if self.skip:
            y = y + x
        return y.permute(1, 2, 0)
