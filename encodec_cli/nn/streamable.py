"""Layers that also run in steps."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

__all__ = ["Streamable", "new_states", "step_through"]


class Streamable(nn.Module, ABC):
    """A layer of `[B, C, T]` that keeps, from step to step, what later outputs need.

    The outputs of all steps together are `forward` of all inputs together.
    """

    @abstractmethod
    def new_state(self) -> Any:
        """The state of a stream that has not begun."""

    @abstractmethod
    def step(self, x: Tensor, state: Any, last: bool) -> Tensor:
        """Outputs `[B, C', m]` that the next samples `[B, C, n]` (n >= 0) complete.

        Moves `state` on; `last` says that none follow.
        """


def new_states(layers: Iterable[nn.Module]) -> list[Any]:
    """One state per layer; None for those that look at one sample at a time."""
    return [layer.new_state() if isinstance(layer, Streamable) else None for layer in layers]


def step_through(layers: Iterable[nn.Module], x: Tensor, states: list[Any], last: bool) -> Tensor:
    """Outputs of a stack of layers that the next samples complete."""
    for layer, state in zip(layers, states, strict=True):
        x = layer.step(x, state, last) if isinstance(layer, Streamable) else layer(x)
    return x
