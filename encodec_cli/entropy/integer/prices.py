"""What codes cost while they are being chosen, for a search that knows the price."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encodec_cli.entropy.integer.network import Book, Floats, IntegerNetwork
from encodec_cli.entropy.integer.state import ContextState

__all__ = ["ChunkPrices"]


class ChunkPrices:
    """Prices of the frames of new chunks, as `runtime.priced_search` takes them.

    A code costs so much for each nat that `network` gives it, in the context of the frames before
    and of the codebooks before. Chunks are up to `lanes`, longest first.
    """

    def __init__(self, network: IntegerNetwork, codebooks: int, lanes: int) -> None:
        self._network, self._books = network, network.books(codebooks)
        self._state = ContextState(network.context, network.sizes.tag(codebooks), lanes)
        self._inputs = np.zeros((lanes, network.sizes.inputs), np.float32)

    def frame(self, worths: Floats) -> "_SumPrices":
        """For the next frame of the first chunks, in which a nat costs `worths` `[lanes]`."""
        context = self._state.step(self._inputs[: len(worths)])
        return _SumPrices(self._books, self._network, context, worths)

    def chosen(self, codes: NDArray[np.integer[Any]]) -> None:
        """That frame has the codes `[K, lanes]`."""
        lanes = codes.shape[1]
        sums = self._network.no_sums(lanes)
        for book, own in zip(self._books, codes, strict=True):
            sums += book.table[own]
        self._network.inputs(sums, out=self._inputs[:lanes])


class _SumPrices:
    """Prices within one frame."""

    def __init__(
        self, books: Sequence[Book], network: IntegerNetwork, context: Floats, worths: Floats
    ) -> None:
        self._books, self._network, self._worths = books, network, worths
        self._context = context
        self._sums = network.no_sums(len(context))
        self._spent = np.zeros(len(context), np.float32)
        self._costs = np.zeros((0, 0), np.float32)
        self._book = 0

    def add_to(self, scores: Floats) -> None:
        """See `Prices`."""
        network, rows = self._network, len(self._sums)
        known, channels = network.known(rows), network.sizes.channels
        kept = rows // len(self._context)
        known[:, :channels] = np.repeat(self._context, kept, axis=0)
        network.inputs(self._sums, out=known[:, channels:-1])
        self._costs = self._books[self._book].nats(known)
        self._costs *= np.repeat(self._worths, kept)
        self._costs += self._spent
        scores += self._costs

    def follow(self, rows: NDArray[np.intp], codes: NDArray[np.intp]) -> None:
        """See `Prices`."""
        self._spent = self._costs[codes, rows]
        self._sums = self._sums[rows] + self._books[self._book].table[codes]
        self._book += 1
