"""Level of a stream: how loud its chunks are, as a codec hears it, and the scales that follow.

    chunks of a second      |   the level of a chunk    |      of the next one      |
    shorter chunks               |----- the last 0.4 s -----|chunk|
    level of a short chunk  that of the last 0.4 s: up at once, down by 20 dB a second at most

A chunk of less than a second tells no level by itself: it may be a pause, or the end of a word. And
nothing tells what will follow. A scale that is too large makes codes a little worse. One that is
too small drives the network out of its range when a word begins, for as long as the gain glides
(gain.py). So the level falls slowly, also at the beginning, from that of the model.

Silence keeps the scale that there was. A constant offset (DC) is no sound, so the level is that of
the samples less their mean.
"""

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from encodec_cli.config.codec import CodecConfig
from encodec_cli.container.gain import nearest_scale
from encodec_cli.runtime.protocol import Rows

__all__ = ["SILENCE_DB", "LevelMeter", "level_meter", "level_of"]

SILENCE_DB = -60.0
"""dBFS; what is below is not made louder."""
_PART_SECONDS = 0.05
_GATE_DB = 15.0
_OFFSET_SECONDS = 0.25
"""Of less, the mean is not an offset: it may be part of a low tone."""
_RECENT_PARTS = 8
_FALL_DB_PER_SECOND = 20.0


def level_of(rows: Rows, sample_rate: int) -> float:
    """RMS in dBFS of the louder parts of samples `[n, C]`, those within 15 dB of the loudest.

    Pauses between words do not count, for the codec has to code the words.
    """
    size = min(_part_samples(sample_rate), max(1, len(rows)))
    whole = rows[: len(rows) // size * size].astype(np.float64)
    powers = np.square(whole).reshape(-1, size, whole.shape[1]).mean(axis=(1, 2))
    loudest = float(powers.max(initial=0.0))
    if loudest == 0.0:
        return -math.inf
    return 10 * math.log10(powers[powers >= loudest * 10 ** (-_GATE_DB / 10)].mean())


class LevelMeter(Protocol):
    """Follows the level of a stream."""

    def scale(self, rows: Rows) -> float:
        """What to divide the next chunk `[n, C]` by to bring it to the model's level.

        It is one of the half-dB steps that files hold, 1 until there is sound.
        """


def level_meter(config: CodecConfig, chunk_frames: int) -> LevelMeter:
    """For a model with a level, and chunks of so many frames."""
    if chunk_frames < config.chunk_frames:
        return _RecentMeter(config)
    return _ChunkMeter(config)


class _ChunkMeter:
    """The level of each chunk by itself."""

    def __init__(self, config: CodecConfig) -> None:
        self._sample_rate = config.sample_rate
        self._target = _target(config)
        self._scale = 1.0
        self._offset: NDArray[np.float64] | float = 0.0  # of each channel

    def scale(self, rows: Rows) -> float:
        """See `LevelMeter.scale`."""
        if len(rows) >= _offset_samples(self._sample_rate):
            self._offset = rows.mean(axis=0, dtype=np.float64)
        sound = (rows - self._offset).astype(np.float32)
        level = level_of(sound, self._sample_rate)
        if level >= SILENCE_DB:
            self._scale = _scale_for(level - self._target)
        return self._scale


class _RecentMeter:
    """The level of what was heard lately, the chunk included."""

    def __init__(self, config: CodecConfig) -> None:
        self._sample_rate = config.sample_rate
        self._target = self._level = _target(config)
        self._recent: Rows = np.zeros((0, config.channels), np.float32)

    def scale(self, rows: Rows) -> float:
        """See `LevelMeter.scale`."""
        found = level_of(self._sound(rows), self._sample_rate)
        if found >= SILENCE_DB:
            fall = _FALL_DB_PER_SECOND * len(rows) / self._sample_rate
            self._level = max(found, self._level - fall)
        return _scale_for(self._level - self._target)

    def _sound(self, rows: Rows) -> Rows:
        """The latest samples `[n, C]` in whole parts, at least `rows`, without their offset."""
        part = _part_samples(self._sample_rate)
        kept = max(_RECENT_PARTS * part, len(rows))
        self._recent = np.concatenate([self._recent, rows])[-kept:]
        # Parts end where the chunk does: what is left over is what is oldest.
        sound = self._recent[len(self._recent) % part if len(self._recent) > part else 0 :]
        if len(sound) >= _offset_samples(self._sample_rate):
            sound = (sound - sound.mean(axis=0, dtype=np.float64)).astype(np.float32)
        return sound


def _scale_for(db: float) -> float:
    return nearest_scale(10 ** (db / 20))


def _target(config: CodecConfig) -> float:
    assert config.level_db is not None
    return config.level_db


def _part_samples(sample_rate: int) -> int:
    return max(1, round(_PART_SECONDS * sample_rate))


def _offset_samples(sample_rate: int) -> int:
    return round(_OFFSET_SECONDS * sample_rate)
