"""A whole file at once, for what must look at all of it: metrics, training data."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encodec_cli.audio.prepare import prepare_blocks
from encodec_cli.audio.reader import open_audio

__all__ = ["read_mono"]


def read_mono(path: Path, sample_rate: int) -> NDArray[np.float32]:
    """All of `path`, mixed to mono and resampled to `sample_rate` Hz: `[N]`.

    Raises:
        AudioError: see `open_audio`.
    """
    with open_audio(path) as reader:
        blocks = list(prepare_blocks(reader, sample_rate, 1, reader.sample_rate))
    mono: NDArray[np.float32] = np.concatenate(blocks, axis=1)[0]
    return mono
