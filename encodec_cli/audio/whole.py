"""A whole file at once, for what must look at all of it: metrics, training data."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encodec_cli.audio.part import Part
from encodec_cli.audio.prepare import prepare_blocks
from encodec_cli.audio.reader import open_audio
from encodec_cli.audio.samples import FloatBlock
from encodec_cli.errors import AudioError

__all__ = ["read_mono", "read_whole"]


def read_whole(
    path: Path,
    sample_rate: int,
    channels: int,
    *,
    most_seconds: float | None = None,
    part: Part | None = None,
) -> FloatBlock:
    """All of `path`, or a part of it, mixed and resampled to `channels` at `sample_rate` Hz.

    As `[C, N]`.

    Raises:
        AudioError: see `open_audio`; longer than `most_seconds`.
    """
    samples, blocks = 0, []
    with open_audio(path, part) as reader:
        for block in prepare_blocks(reader, sample_rate, channels, reader.sample_rate):
            samples += block.shape[1]
            if most_seconds is not None and samples > most_seconds * sample_rate:
                raise AudioError(
                    f"{path}: is longer than {most_seconds / 60:g} minutes, and would have to be "
                    "in memory as a whole; cut it"
                )
            blocks.append(block)
    return np.concatenate(blocks, axis=1)


def read_mono(path: Path, sample_rate: int, part: Part | None = None) -> NDArray[np.float32]:
    """All of `path`, or a part of it, mixed to mono and resampled to `sample_rate` Hz: `[N]`.

    Raises:
        AudioError: see `open_audio`.
    """
    mono: NDArray[np.float32] = read_whole(path, sample_rate, 1, part=part)[0]
    return mono
