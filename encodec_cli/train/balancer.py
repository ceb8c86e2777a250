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
        self._steps: dict[str, int] = {}

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
        steps = self._steps.get(name, 0) + 1
        previous = self._averages.get(name, torch.zeros_like(norm))
        average = self.decay * previous + (1 - self.decay) * norm
        self._averages[name], self._steps[name] = average, steps
        return average / (1 - self.decay**steps)

    def state_dict(self) -> dict[str, object]:
        return {"averages": self._averages, "steps": self._steps}

    def load_state_dict(self, state: Mapping[str, dict[str, Tensor]]) -> None:
        self._averages = dict(state["averages"])
        self._steps = {name: int(steps) for name, steps in state["steps"].items()}
