"""matplotlib, which the `eval` extra brings, and what it draws for the page: data: addresses.

Images are WebP: a third of the size of PNG, and every browser since 2020 shows it.
"""

import base64
import importlib
import io
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from encodec_cli.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.colors import Colormap

__all__ = [
    "DIFFERENCE_DB",
    "RANGE_DB",
    "check_matplotlib",
    "data_uri",
    "difference_ramp",
    "level_ramp",
    "picture_of_difference",
    "picture_of_levels",
]

Levels = NDArray[np.float32]
"""Levels in dB, `[mels, columns]`, low mels first."""

RANGE_DB = 80.0
"""From the loudest spot of the original down to what is drawn black."""
DIFFERENCE_DB = 24.0
"""Differences beyond it have the same colour."""

_LEVEL_COLOURS = "magma"
# Dark where nothing differs: it suits the pictures of levels beside it, in light and dark pages.
_DIFFERENCE_COLOURS = ("#b8e3ff", "#2f8fe0", "#0a0a12", "#e0762f", "#ffe0b8")
_QUALITY = 75


def check_matplotlib() -> None:
    """Fail early where matplotlib is missing.

    Raises:
        UsageError: the `eval` extra is not installed.
    """
    try:
        importlib.import_module("matplotlib")
    except ImportError:
        raise UsageError(
            "report draws with matplotlib; which is not installed; run: pip install matplotlib"
        ) from None


def data_uri(kind: str, content: bytes) -> str:
    """`content` of media type `kind` as an address that holds it."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def picture_of_levels(levels: Levels, top: float) -> str:
    """Levels from `top` dB down to `RANGE_DB` below it."""
    return _picture(levels, top - RANGE_DB, top, _LEVEL_COLOURS)


def picture_of_difference(levels: Levels, original: Levels, top: float) -> str:
    """How far `levels` are above (red) or below (blue) those of the original.

    What is more than `RANGE_DB` below `top` counts as silence in both.
    """
    floor = top - RANGE_DB
    difference = np.maximum(levels, floor) - np.maximum(original, floor)
    return _picture(difference, -DIFFERENCE_DB, DIFFERENCE_DB, _difference_colours())


def level_ramp() -> str:
    """The colours of `picture_of_levels`, quiet to loud, as a CSS gradient."""
    return _ramp(_LEVEL_COLOURS)


def difference_ramp() -> str:
    """The colours of `picture_of_difference`, missing to too much, as a CSS gradient."""
    return _ramp(_difference_colours())


def _picture(
    values: NDArray[np.float32], low: float, high: float, colours: "str | Colormap"
) -> str:
    from matplotlib.image import imsave

    file = io.BytesIO()
    options = {"quality": _QUALITY, "method": 6}
    imsave(
        file,
        values[::-1],
        vmin=low,
        vmax=high,
        cmap=colours,
        format="webp",
        pil_kwargs=options,
    )
    return data_uri("image/webp", file.getvalue())


def _difference_colours() -> "Colormap":
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("difference", _DIFFERENCE_COLOURS)


def _ramp(colours: "str | Colormap") -> str:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import to_hex

    mappable = ScalarMappable(cmap=colours)
    mappable.set_clim(0, 1)
    stops = ", ".join(to_hex(tuple(rgba)) for rgba in mappable.to_rgba(np.linspace(0, 1, 9)))
    return f"linear-gradient(to right, {stops})"
