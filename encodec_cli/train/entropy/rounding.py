"""Rounding as the integer network rounds, with gradients that pass straight through it."""

from typing import Any

import torch
from torch import Tensor

from encodec_cli.entropy.integer.sizes import ACTIVATION_LIMIT, EXACT, WEIGHT_LIMIT

__all__ = ["rounded_activation", "rounded_weight", "weight_exponent"]

_FINEST = 14
_MOST_SUM = 0.4 * EXACT / ACTIVATION_LIMIT


class _RoundActivation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, exponent: int, low: float, high: float) -> Tensor:
        scale = 2.0**exponent
        whole = (x * scale).add_(0.5).floor_()
        ctx.save_for_backward((whole >= low) & (whole <= high))
        return whole.clamp_(low, high).mul_(1 / scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        [inside] = ctx.saved_tensors
        return gradients[0] * inside, None, None, None


def rounded_activation(x: Tensor, exponent: int, low: float, high: float) -> Tensor:
    """`x` to whole multiples, from `low` to `high`, of 2 ** -exponent; halves go up."""
    found: Tensor = _RoundActivation.apply(x, exponent, low, high)  # type: ignore[no-untyped-call]
    return found


def weight_exponent(weight: Tensor, dims: int = 1) -> Tensor:
    """The most e for which weight * 2 ** e fits, for each row of the last `dims` dimensions.

    The largest weight has to fit, and the sum of a row times the largest activation, with room
    for a bias. Shape of `weight` with the last `dims` dimensions of size 1.
    """
    size = weight.detach().abs()
    shared = tuple(range(weight.dim() - dims, weight.dim()))
    largest = size.amax(shared, keepdim=True).clamp(min=1e-6)
    total = size.sum(-1, keepdim=True).amax(shared, keepdim=True).clamp(min=1e-6)
    # A row is rounded, not cut: what would round to 128 takes the next exponent.
    fits = torch.minimum((WEIGHT_LIMIT + 0.49) / largest, _MOST_SUM / total)
    return torch.floor(torch.log2(fits)).clamp(max=_FINEST)


class _RoundWeight(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, exponent: Tensor) -> Tensor:
        scale = torch.exp2(exponent)
        return torch.round(weight * scale) / scale

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return gradients[0], None


def rounded_weight(weight: Tensor, dims: int = 1) -> Tensor:
    """`weight` to whole multiples of 2 ** -exponent, see `weight_exponent`."""
    found: Tensor = _RoundWeight.apply(weight, weight_exponent(weight, dims))  # type: ignore[no-untyped-call]
    return found
