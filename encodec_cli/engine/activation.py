"""Activations in few passes, and the unit that makes ELU cheap."""

import math
from typing import Protocol

import torch
from torch import Tensor

from encodec_cli.config import layers

__all__ = ["UNIT", "Activation", "Elu", "LeakyRelu", "compiled_activation"]

UNIT = 1 / math.log(2)
"""Compiled networks carry activations times this, so that `exp2` needs no product before it."""


class Activation(Protocol):
    """Of numbers, and to numbers, in `UNIT`s."""

    def into(self, out: Tensor, x: Tensor) -> None:
        """Write the activation of `x` to `out`, which is other memory."""


def compiled_activation(plan: layers.Activation) -> Activation | None:
    """The compiled form of an activation; None if there is none."""
    match plan.name, plan.params:
        case "ELU", {**params} if params.get("alpha", 1.0) == 1:
            return Elu()
        case "LeakyReLU", {**params} if 0 <= params.get("negative_slope", 0.01) <= 1:
            return LeakyRelu(params.get("negative_slope", 0.01))
    return None


class LeakyRelu:
    """`x` where positive, else `slope * x`; units do not matter to it."""

    def __init__(self, slope: float) -> None:
        self._slope = torch.tensor(slope, dtype=torch.float64)

    def into(self, out: Tensor, x: Tensor) -> None:
        """Write the activation of `x` to `out`, which is other memory."""
        torch.mul(x, self._slope, out=out)
        torch.maximum(x, out, out=out)


class Elu:
    """`x` where positive, else `exp(x) - 1`."""

    def __init__(self) -> None:
        # As tensors: operators would convert numbers each time.
        self._zero = torch.tensor(0.0)
        self._minus_unit = torch.tensor(-UNIT)

    def into(self, out: Tensor, x: Tensor) -> None:
        """Write the activation of `x` to `out`, which is other memory."""
        if x.device.type != "cpu" or x.dtype != torch.float32:
            torch.ops.aten.elu.out(x, UNIT, 1, 1 / UNIT, out=out)
            return
        # 3 cheap passes: the library's ELU goes through expm1, which alone takes twice their time.
        # The error of exp(x) - 1 is that of rounding 1, as in any sum of the next layer. Where x
        # is positive, exp(x) - 1 is larger than x, or infinite, and the last pass takes x.
        torch.exp2(x, out=out)
        torch.add(self._minus_unit, out, alpha=UNIT, out=out)
        torch.clamp(x, self._zero, out, out=out)
