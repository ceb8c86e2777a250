"""Loss balancer: weights say what share of the gradient each loss gets, whatever its scale."""

from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["Balancer"]


class Balancer:
    """Backpropagates several losses of one tensor with prescribed shares.

    The gradient of loss i with respect to the model's output is divided by a moving average of
    its norm and multiplied by `total_norm * weights[i] / sum(weights)`.

    Source: EnCodec (Défossez et al. 2022, section 3.4, equation 5).
    """

    def __init__(
        self, weights: Mapping[str, float], total_norm: float = 1.0, decay: float = 0.999
    ) -> None:
        self.weights = dict(weights)
        self.total_norm = total_norm
        self.decay = decay
        self._averages: dict[str, Tensor] = {}
        self._ages: dict[str, Tensor] = {}
        """Averages of 1, started from zero like those of the norms."""

    def backward(self, losses: Mapping[str, Tensor], output: Tensor) -> None:
        """Send the balanced gradient of `losses` (scalars that depend on `output`) into `output`.

        `output` has shape `[B, ...]`; norms are means over its items. A loss that gets no weight
        is left out.
        """
        active = {name: loss for name, loss in losses.items() if self.weights[name] > 0}
        total = sum(self.weights[name] for name in active)
        gradient = torch.zeros_like(output)
        for name, loss in active.items():
            (part,) = torch.autograd.grad(loss, [output], retain_graph=True)
            norm = part.flatten(1).norm(dim=1).mean()
            scale = self.total_norm * self.weights[name] / total
            gradient += part * (scale / (self._average(name, norm) + 1e-12))
        torch.autograd.backward(output, gradient)

    def _average(self, name: str, norm: Tensor) -> Tensor:
        """Moving average of `norm`, corrected for its start from zero."""
        if name not in self._averages:
            self._averages[name] = torch.zeros_like(norm)
            self._ages[name] = torch.zeros_like(norm)
        # In place, so that a captured step finds them again.
        average = self._averages[name].lerp_(norm, 1 - self.decay)
        return average / self._ages[name].lerp_(torch.ones_like(norm), 1 - self.decay)

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        return {"averages": self._averages, "ages": self._ages}

    def load_state_dict(self, state: Mapping[str, dict[str, Tensor]]) -> None:
        self._averages = {name: value.clone() for name, value in state["averages"].items()}
        self._ages = {name: value.clone() for name, value in state["ages"].items()}
