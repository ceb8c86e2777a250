"""Spectrograms drawn with characters: half blocks in 256 colours or more, else shades."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.table import Table
from rich.text import Text

__all__ = ["PICTURE_ROWS", "picture_pair", "picture_width"]

PICTURE_ROWS = 12
"""Lines of text; with half blocks, each shows two rows of a picture."""

_RANGE_DB = 70.0
_QUIETEST_TOP_DB = -20.0
_LEAST_WIDTH = 30
_MOST_WIDTH = 72
_GAP = 2
_STEPS = 64
"""From quiet to loud; equal neighbours share one escape sequence."""
_SHADES = " ░▒▓█"
# Nine of the colours of magma, quiet to loud.
_COLOURS = (
    *("#000004", "#1d1147", "#51127c", "#832681", "#b73779"),
    *("#e75263", "#fc8961", "#fec488", "#fcfdbf"),
)

Levels = NDArray[np.float32]
"""Levels in dB, `[2 * PICTURE_ROWS, columns]`, low pitch first."""


def picture_width(console: Console) -> int | None:
    """Columns of each picture of a pair; None where there is no room, or nobody to look."""
    if not console.is_terminal or console.encoding.lower() not in ("utf-8", "utf8"):
        return None
    width = min((console.width - _GAP) // 2, _MOST_WIDTH)
    return width if width >= _LEAST_WIDTH else None


def picture_pair(console: Console, titles: Sequence[str], pictures: Sequence[Levels]) -> Table:
    """Two pictures side by side on one scale, which the first one sets."""
    top = max(float(pictures[0].max()), _QUIETEST_TOP_DB)
    drawn = [np.clip((p[::-1] - top) / _RANGE_DB + 1, 0, 1) for p in pictures]
    # Sixteen colours have no order from quiet to loud.
    coloured = console.color_system in ("256", "truecolor") and not console.no_color
    draw = _in_colour if coloured else _in_shades
    table = Table.grid(padding=(0, _GAP, 0, 0))
    table.add_row(*(Text(title, style="dim") for title in titles))
    table.add_row(*(Text("\n").join(draw(picture)) for picture in drawn))
    return table


def _in_colour(picture: NDArray[np.float32]) -> Iterable[Text]:
    steps = np.rint(picture * _STEPS).astype(int)
    palette = [_colour(step / _STEPS) for step in range(_STEPS + 1)]
    for upper, lower in zip(steps[::2], steps[1::2], strict=True):
        line = Text(no_wrap=True)
        edges = np.flatnonzero(np.diff(upper) | np.diff(lower)) + 1
        for start, end in pairwise((0, *edges.tolist(), len(upper))):
            style = Style(color=palette[upper[start]], bgcolor=palette[lower[start]])
            line.append("▀" * (end - start), style)
        yield line


def _in_shades(picture: NDArray[np.float32]) -> Iterable[Text]:
    rows = picture.reshape(len(picture) // 2, 2, -1).mean(axis=1)
    for row in np.rint(rows * (len(_SHADES) - 1)).astype(int):
        yield Text("".join(_SHADES[step] for step in row), no_wrap=True)


def _colour(value: float) -> Color:
    """Between the two of `_COLOURS` that are nearest to `value` in [0, 1]."""
    position = value * (len(_COLOURS) - 1)
    index = min(int(position), len(_COLOURS) - 2)
    low, high = (Color.parse(name).get_truecolor() for name in _COLOURS[index : index + 2])
    share = position - index
    return Color.from_rgb(*(a + share * (b - a) for a, b in zip(low, high, strict=True)))
