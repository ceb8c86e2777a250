"""A codec that runs in numpy, without torch: what streams of the command line run on."""

import copy
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from encodec_cli.config.codec import CodecConfig
from encodec_cli.config.plan import decoder_plan, encoder_plan
from encodec_cli.runtime.layers import Get
from encodec_cli.runtime.network import Network, can_run
from encodec_cli.runtime.overlap import OverlappedNetwork
from encodec_cli.runtime.protocol import Rows, Stepper
from encodec_cli.runtime.search import Quantizer

__all__ = ["NumpyEngine", "supports"]

_Made = TypeVar("_Made")


def supports(config: CodecConfig) -> bool:
    """Whether `NumpyEngine` runs the codec of `config`; the others need torch."""
    return can_run(encoder_plan(config.seanet)) and can_run(decoder_plan(config.decoder))


class NumpyEngine:
    """The networks and the quantizer of the codec of `config`, one that `supports` knows.

    `weights` gives each tensor by its name; they are read when a part is first used.
    """

    def __init__(self, config: CodecConfig, weights: Get) -> None:
        books = config.quantizer.n_q
        self._encoder = _Lazily(lambda: Network(encoder_plan(config.seanet), weights))
        self._decoder = _Lazily(lambda: Network(decoder_plan(config.decoder), weights))
        self._quantizer = _Lazily(
            lambda: Quantizer(
                [weights(f"quantizer.vq.layers.{k}._codebook.embed") for k in range(books)]
            )
        )
        self._overlap = False

    streams = 1
    """One stream by itself is fastest: several of them go in threads of their own."""

    takes_all_threads = False

    def overlapped(self) -> "NumpyEngine":
        """The same networks, which step on two threads each; see `OverlappedNetwork`."""
        other = copy.copy(self)
        other._overlap = True
        return other

    def encoder(self, block_frames: int | None) -> Stepper:
        """For streams in blocks of so many frames; None: each block is a signal of its own."""
        return self._stepper(self._encoder(), block_frames)

    def decoder(self, block_frames: int | None) -> Stepper:
        """For streams in blocks of so many frames; None: each block is a signal of its own."""
        return self._stepper(self._decoder(), block_frames)

    def traced_decoder(self) -> Network:
        """The decoder, for whole signals and the gradients of what it makes of them."""
        return self._decoder()

    def quantizer(self) -> Quantizer:
        """The quantizer."""
        return self._quantizer()

    def _stepper(self, network: Network, block_frames: int | None) -> Stepper:
        if block_frames is None:
            return _Segments(network)
        return OverlappedNetwork(network) if self._overlap else network


class _Lazily(Generic[_Made]):
    """Something that is made when it is first asked for, once, whichever thread asks."""

    def __init__(self, make: Callable[[], _Made]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: _Made | None = None

    def __call__(self) -> _Made:
        if self._made is None:
            with self._lock:
                if self._made is None:
                    self._made = self._make()
        return self._made


class _Segments:
    """Whole signals, each a stream of one block."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def new_state(self) -> None:
        return None

    def step(self, inputs: list[Rows], states: list[None], last: list[bool]) -> list[Rows]:
        """`[n, C] -> [m, C']` of each whole signal."""
        fresh = [self._network.new_state() for _ in inputs]
        return self._network.step(inputs, fresh, [True] * len(inputs))
