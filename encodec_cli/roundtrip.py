"""How close a decoded file is to its source."""

from pathlib import Path

import torch

from encodec_cli.audio import read_mono
from encodec_cli.metrics import measure

__all__ = ["compare"]


def compare(source: Path, decoded: Path, sample_rate: int) -> dict[str, float]:
    """`metrics.measure` of two files of equal length at `sample_rate` Hz, both mixed to mono.

    Raises:
        AudioError: see `open_audio`.
    """
    reference, estimate = (torch.from_numpy(read_mono(p, sample_rate)) for p in (source, decoded))
    return measure(reference, estimate, sample_rate, speech=True)
