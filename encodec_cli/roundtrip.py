"""How close a decoded file is to its source, with whatever metrics are installed."""

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from encodec_cli.audio import open_audio, prepare_blocks
from encodec_cli.errors import UsageError
from encodec_cli.metrics import estoi, mel_distance, pesq_wb, si_sdr

__all__ = ["compare", "read_mono"]


def read_mono(path: Path, sample_rate: int, channels: int = 1) -> Tensor:
    """A whole file as `[N]` at `sample_rate` Hz: mixed to `channels` first, then to their mean.

    Raises:
        AudioError: see `open_audio`.
    """
    with open_audio(path) as reader:
        blocks = list(prepare_blocks(reader, sample_rate, channels, reader.sample_rate))
    return torch.from_numpy(np.concatenate(blocks, axis=1).mean(axis=0))


def compare(source: Path, decoded: Path, sample_rate: int, channels: int) -> dict[str, float]:
    """Metrics of two files of equal length at `sample_rate` Hz, by name.

    Always si_sdr (dB), mel (log10 units) and level_db (dB); estoi and pesq where the `eval` extra
    is installed and the signal is long enough for them.
    """
    x, y = (read_mono(path, sample_rate, channels) for path in (source, decoded))
    level = 10 * math.log10(float((y.pow(2).mean() + 1e-12) / (x.pow(2).mean() + 1e-12)))
    quality = {
        "si_sdr": si_sdr(x, y),
        "mel": mel_distance(x, y, sample_rate),
        "level_db": level,
    }
    for name, metric in (("estoi", estoi), ("pesq", pesq_wb)):
        try:
            value = metric(x, y, sample_rate)
        except UsageError:
            continue
        if math.isfinite(value):
            quality[name] = value
    return quality
