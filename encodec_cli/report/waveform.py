"""A waveform as the outline of an SVG path."""

import numpy as np

from encodec_cli.audio import FloatBlock

__all__ = ["WAVE_COLUMNS", "wave_path"]

WAVE_COLUMNS = 360
_HALF_HEIGHT = 100


def wave_path(audio: FloatBlock, peak: float) -> str:
    """Extremes of `audio` `[C, N]` over all channels, as a closed path.

    x runs from 0 to `WAVE_COLUMNS`, y from -100 (`peak`, more than zero) to 100.
    """
    samples = audio.shape[1]
    edges = np.linspace(0, samples, WAVE_COLUMNS + 1).astype(int)
    starts = np.minimum(edges[:-1], samples - 1)
    highest = np.maximum.reduceat(audio.max(axis=0), starts)
    lowest = np.minimum.reduceat(audio.min(axis=0), starts)
    scale = _HALF_HEIGHT / peak
    top, bottom = (
        np.clip(np.rint(-edge * scale), -_HALF_HEIGHT, _HALF_HEIGHT).astype(int)
        for edge in (highest, lowest)
    )
    points = [f"{x} {y}" for x, y in enumerate(top)]
    points += [
        f"{x} {y}" for x, y in zip(range(WAVE_COLUMNS - 1, -1, -1), bottom[::-1], strict=True)
    ]
    return f"M{'L'.join(points)}Z"
