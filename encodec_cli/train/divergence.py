"""Noticing that a run diverges, at the first loss that is not a finite number."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from encodec_cli.errors import TrainingError

__all__ = ["DivergenceWatch"]

_NEVER = 1 << 62


class DivergenceWatch:
    """Notes the first step at which each loss was not finite.

    Noting happens where the losses lie: a GPU need not be waited for until `check`. On the CPU,
    where nothing is waited for, `note` checks by itself.

    `advice` says what to change if the losses of these names were not, or the weights for none.
    """

    def __init__(self, device: torch.device, advice: Callable[[Sequence[str]], str]) -> None:
        self._device = device
        self._advice = advice
        self._bad: dict[str, Tensor] = {}

    def note(self, losses: Mapping[str, Tensor], step: int) -> None:
        """Look at the losses (scalars) of a step.

        Raises:
            TrainingError: see `check`; here on the CPU only.
        """
        for name, loss in losses.items():
            if name not in self._bad:
                self._bad[name] = torch.full((), _NEVER, device=self._device)
            first = self._bad[name]
            self._bad[name] = torch.where(torch.isfinite(loss) | (first < _NEVER), first, step)
        if self._device.type == "cpu":
            self.check()

    def check(self) -> None:
        """Waits for the device.

        Raises:
            TrainingError: a loss was not finite; names it, the step, and what to change.
        """
        steps = {name: int(first) for name, first in self._bad.items()}
        step = min(steps.values(), default=_NEVER)
        if step == _NEVER:
            return
        names = [name for name, first in steps.items() if first == step]
        raise TrainingError(
            f"training diverged: {', '.join(names)}: not finite at step {step}; "
            f"{self._advice(names)}"
        )

    def check_weights(self, numbers: Mapping[str, Tensor], step: int) -> None:
        """Hold the weights after `step` steps, before they are saved, to be finite.

        Raises:
            TrainingError: one is not; the next loss would not be either.
        """
        self.check()
        finite = torch.stack([torch.isfinite(value).all() for value in numbers.values()])
        if not bool(finite.all()):
            name = next(n for n, good in zip(numbers, finite.tolist(), strict=True) if not good)
            raise TrainingError(
                f"training diverged: weights ({name}): not finite after step {step - 1}; "
                f"{self._advice([])}"
            )
