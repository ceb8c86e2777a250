"""The arithmetic below the compiled layers: products over frames, and ELU in its unit."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from encodec_cli.engine.activation import UNIT, Elu
from encodec_cli.engine.products import Products
from encodec_cli.engine.rows import Scratch


class Recording(Scratch):
    """Says what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def take(self, name: str, like: Tensor, *shape: int) -> Tensor:
        self.names.add(name)
        return super().take(name, like, *shape)


@pytest.mark.parametrize(
    ("channels", "outputs", "taps", "step", "dilation", "frames", "pairs"),
    [
        (32, 64, 4, 2, 1, 150, True),
        (32, 64, 4, 2, 1, 151, True),
        (32, 64, 4, 2, 1, 99, False),  # reading the weights takes the time
        (128, 64, 2, 1, 1, 140, True),
        (32, 64, 3, 2, 1, 150, False),  # ends within a frame
        (3, 5, 7, 1, 1, 30, False),  # so narrow that windows overlap
        (20, 5, 7, 1, 1, 30, False),
        (3, 5, 7, 4, 1, 30, False),
        (64, 64, 2, 1, 2, 140, False),  # dilated
        (4, 5, 3, 1, 3, 30, False),
        (3, 2, 1, 1, 1, 30, False),
    ],
)
def test_products_are_a_convolution(
    channels: int, outputs: int, taps: int, step: int, dilation: int, frames: int, pairs: bool
) -> None:
    """Of each stream by itself, whatever lies in the frame to spare."""
    weight = torch.randn(outputs, taps, channels, dtype=torch.float64)
    bias = torch.randn(outputs, dtype=torch.float64)
    streams = torch.randn(3, frames * step, channels, dtype=torch.float64)
    expected = F.conv1d(streams.mT, weight.mT, bias, step, dilation=dilation).mT
    spare = torch.full((1, step * channels), float("nan"), dtype=torch.float64)
    flat = torch.cat((streams.reshape(-1, step * channels), spare))
    scratch = Recording()
    found = Products(weight, bias, step, dilation).over(flat, 3, "out", scratch)
    assert found.shape[:2] == (3, frames)
    torch.testing.assert_close(found[:, : expected.shape[1]], expected, rtol=0, atol=1e-10)
    assert ("changes" in scratch.names) == pairs


def test_half_precision_takes_no_differences() -> None:
    """They would round away what little precision there is."""
    scratch = Recording()
    weight = torch.randn(64, 4, 32).bfloat16()
    Products(weight, None, 2, 1).over(torch.randn(160, 64).bfloat16(), 1, "out", scratch)
    assert "changes" not in scratch.names


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_elu_is_torchs_in_its_unit(dtype: torch.dtype) -> None:
    inf = float("inf")
    x = torch.cat(
        (
            torch.linspace(-30, 30, 997),
            torch.tensor([-inf, -1e30, -200.0, -1e-6, -0.0, 0.0, 1e-6, 88.0, 200.0, 1e30, inf]),
        )
    ).to(dtype)
    out = torch.empty_like(x)
    Elu().into(out, x * UNIT)
    atol = 1e-2 if dtype == torch.bfloat16 else 5e-7
    rtol = 1e-2 if dtype == torch.bfloat16 else 1e-6
    torch.testing.assert_close(out / UNIT, F.elu(x), rtol=rtol, atol=atol)
    Elu().into(out, torch.full_like(x, float("nan")))
    assert out.isnan().all()
