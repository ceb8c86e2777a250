"""A search for codes that weighs what they take in a file against the error that they leave.

    chunk 1   frame 1, frame 2, ...   each frame's codes by error and price,
    chunk 2   frame 1, frame 2, ...   its prices by the codes of the frames before

A sum's score is half its squared error and `strength * worth` for each nat that its codes take,
where `worth` is the error that one more codebook would take off for each of its nats.

Source: entropy-constrained search, Chou, Lookabaugh, Gray 1989 ("Entropy-constrained vector
quantization").
"""

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from encodec_cli.runtime.protocol import EngineQuantizer
from encodec_cli.runtime.search import LARGEST, Prices

__all__ = ["FramePrices", "PricedCodes", "encode_priced"]

_Floats = NDArray[np.floating[Any]]


class FramePrices(Protocol):
    """Prices of chunks that are searched frame by frame, side by side."""

    def frame(self, worths: NDArray[np.float32]) -> Prices:
        """For the next frame of the first chunks, in which a nat costs `worths` `[lanes]`."""

    def chosen(self, codes: NDArray[np.integer[Any]]) -> None:
        """That frame has the codes `[K, lanes]`."""


class PricedCodes(Protocol):
    """What knows how much each code takes in a file."""

    def prices(self, codebooks: int, chunks: int) -> FramePrices:
        """For so many new chunks, longest first."""


def encode_priced(
    quantizer: EngineQuantizer,
    chunks: Sequence[_Floats],
    n_q: int,
    beams: int,
    costs: PricedCodes,
    strength: float,
) -> list[NDArray[np.uint16]]:
    """Codes `[n_q, T]` of each chunk of latents `[T, D]`, keeping `beams` sums of each frame.

    With a `strength` of 1 a bit is worth what one more codebook would make of it; 0 is the plain
    search. All chunks are searched side by side: give few.
    """
    order = sorted(range(len(chunks)), key=lambda i: -len(chunks[i]))
    found = [np.empty((n_q, len(chunk)), dtype=np.uint16) for chunk in chunks]
    worths = [strength * _worths(quantizer, chunk, n_q) for chunk in chunks]
    prices = costs.prices(n_q, len(chunks))
    for frame in range(max(map(len, chunks), default=0)):
        lanes = [i for i in order if frame < len(chunks[i])]
        rows = np.array([chunks[i][frame] for i in lanes])
        worth = np.array([worths[i][frame] for i in lanes], np.float32)
        codes = quantizer.encode(rows, n_q, beams, prices.frame(worth))
        prices.chosen(codes)
        for i, own in zip(lanes, codes.T, strict=True):
            found[i][:, frame] = own
    return found


def _worths(quantizer: EngineQuantizer, latents: _Floats, n_q: int) -> _Floats:
    """What a codebook after `n_q` takes off half a frame's squared error, for each nat, `[T]`.

    It is a share of the error that greedy codes leave: that of a series of codebooks whose squares
    go on to fall as from book `n_q` to the next.
    """
    rests = np.clip(np.nan_to_num(latents), -LARGEST, LARGEST)
    rests = rests - quantizer.decode(quantizer.encode(rests, n_q, 1))
    last = min(n_q, len(quantizer.books) - 1)
    squares = [float(np.square(book).sum(1).mean()) for book in quantizer.books[: last + 1][-2:]]
    share = 1.0
    if len(squares) > 1:
        share = max(0.0, 1 - squares[1] / max(squares[0], 1e-12))
    nats = math.log(len(quantizer.books[last]))
    worths: _Floats = np.square(rests).sum(1) / 2 * np.float32(share / nats)
    return worths
