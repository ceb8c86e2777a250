"""How much of what a run learnt to keep: weights between those it began with and those it has.

Few recordings are soon learnt by heart: others of their kind then sound worse than before. On the
straight line between both weights lie some that keep most of the gain and little of the harm
(Wortsman et al. 2022, "Robust fine-tuning of zero-shot models", arXiv:2109.01903, section 3). The
recordings held out choose among them, and the start is one of them.
"""

from collections.abc import Callable, Mapping
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

__all__ = ["SHARES", "best_share", "blended", "mel_distance"]

SHARES = (1.0, 0.75, 0.5, 0.25, 0.0)
"""Of what was learnt; among equals the first is taken."""


def best_share(distance: Callable[[float], float]) -> float:
    """The one of `SHARES` with the least `distance`."""
    return min(SHARES, key=distance)


def blended(
    start: Mapping[str, Tensor], end: Mapping[str, Tensor], share: float
) -> dict[str, Tensor]:
    """Weights that lie `share` of the way from `start` to `end`."""
    return {name: torch.lerp(start[name].to(value), value, share) for name, value in end.items()}


def mel_distance(quality: Mapping[str, Any]) -> float:
    """Mean over the bandwidths of a validation, and the kinds of recordings in it."""
    return fmean(
        scores["mel"]
        for found in quality.values()
        for scores in found.values()
        if isinstance(scores, Mapping)
    )
