"""What streams run on: the networks and the quantizer of one model, as arrays in and out."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from encodec_cli.runtime.norm import Back
from encodec_cli.runtime.search import Prices

__all__ = ["Engine", "EngineQuantizer", "Rows", "Stepper", "TracedNetwork"]

Rows = NDArray[np.floating[Any]]
"""Samples or latents of one stream, `[n, C]` float32: time first, contiguous."""


class Stepper(Protocol):
    """An encoder or a decoder that goes through many streams, block by block.

    Several threads may step different streams at once. One stream's steps follow one another.
    """

    def new_state(self) -> Any:
        """The state of a stream that has not begun."""

    def step(self, inputs: list[Rows], states: list[Any], last: list[bool]) -> list[Rows]:
        """Outputs `[m, C']` that the next rows `[n, C]` of each stream complete.

        Streams that go on give a whole number of frames, which none of the streams that end
        exceeds; a stream that ends may give no rows at all. Moves each stream's state on. The
        outputs belong to the caller.
        """


class TracedNetwork(Protocol):
    """A network that runs on whole signals, and back; threads may share one."""

    def traced(self, inputs: Rows, first: int) -> tuple[Rows, Back]:
        """Outputs `[m, C']` of a signal `[n, C]` from row `first` on, and the way back.

        That takes the gradient of a number by these outputs, which it may overwrite, and gives that
        by the inputs. The inputs must not change before.
        """


class EngineQuantizer(Protocol):
    """The quantizer of one model; threads may share it."""

    @property
    def books(self) -> Sequence[Rows]:
        """What each code adds to the latents, `[bins, D]` for each codebook, coarse first."""

    def encode(
        self, latents: Rows, n_q: int, beams: int, prices: Prices | None = None
    ) -> NDArray[np.uint16]:
        """Codes `[n_q, T]` of latents `[T, D]`, from a search with so many sequences kept.

        With `prices` it weighs more than errors, on the processor.
        """

    def decode(self, codes: NDArray[np.integer[Any]]) -> Rows:
        """Latents `[T, D]` of codes `[K, T]`, all of them within their codebooks."""


class Engine(Protocol):
    """The networks and the quantizer of one model."""

    @property
    def streams(self) -> int:
        """How many streams are worth stepping together; 1 if each is best by itself."""

    @property
    def takes_all_threads(self) -> bool:
        """Whether one step keeps all threads busy, so that nothing is to be computed beside it."""

    def overlapped(self) -> "Engine":
        """This engine for one long stream: steps on several threads may give outputs later."""

    def encoder(self, block_frames: int | None) -> Stepper:
        """For streams in blocks of so many frames; None: each block is a signal of its own."""

    def decoder(self, block_frames: int | None) -> Stepper:
        """For streams in blocks of so many frames; None: each block is a signal of its own."""

    def traced_decoder(self) -> TracedNetwork:
        """The decoder, for whole signals and the gradients of what it makes of them."""

    def quantizer(self) -> EngineQuantizer:
        """The quantizer."""
