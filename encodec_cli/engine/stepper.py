"""A model's networks and quantizer in the form that coding runs on."""

from typing import Any, Protocol

import torch
from torch import Tensor

from encodec_cli.engine.network import CompiledNetwork, can_compile
from encodec_cli.engine.quantizer import CompiledQuantizer
from encodec_cli.nn.quantizer import ResidualVectorQuantizer
from encodec_cli.nn.seanet import SEANetDecoder, SEANetEncoder, SEANetState

__all__ = ["Engine", "Stepper"]


class Stepper(Protocol):
    """An encoder or a decoder that goes through many streams at once, block by block."""

    def new_state(self) -> Any:
        """The state of a stream that has not begun."""

    def step(self, inputs: list[Tensor], states: list[Any], last: list[bool]) -> list[Tensor]:
        """Outputs `[m, C']` that the next rows `[n, C]` of each stream complete.

        Streams that go on give equally many rows, a whole number of frames; those that end give
        at most as many. Moves each stream's state on.
        """


class Engine:
    """Encoder, decoder and quantizer of one model, compiled where that is possible."""

    def __init__(
        self, encoder: SEANetEncoder, quantizer: ResidualVectorQuantizer, decoder: SEANetDecoder
    ) -> None:
        self._encoder, self._decoder = _Steppers(encoder), _Steppers(decoder)
        self.quantizer = CompiledQuantizer(quantizer, next(encoder.parameters()).dtype)

    def encoder(self, block_frames: int) -> Stepper:
        """For streams in blocks of so many frames."""
        return self._encoder.choose(block_frames)

    def decoder(self, block_frames: int) -> Stepper:
        """For streams in blocks of so many frames."""
        return self._decoder.choose(block_frames)


class _Steppers:
    """One network in both forms; the compiled one is made when first used."""

    def __init__(self, network: SEANetEncoder | SEANetDecoder) -> None:
        self._network = network
        self._modules = _ModuleStepper(network)
        self._compiled: CompiledNetwork | None = None

    def choose(self, block_frames: int) -> Stepper:
        """The one place that decides: compiled, unless that covers not this model or block."""
        if not can_compile(self._network):
            return self._modules
        if self._compiled is None:
            self._compiled = CompiledNetwork(self._network)
        return self._compiled if block_frames >= self._compiled.least_frames else self._modules


class _ModuleStepper:
    """The modules themselves, stream by stream: slower, but for every config and block."""

    def __init__(self, network: SEANetEncoder | SEANetDecoder) -> None:
        self._network = network

    def new_state(self) -> SEANetState:
        return SEANetState()

    @torch.inference_mode()
    def step(
        self, inputs: list[Tensor], states: list[SEANetState], last: list[bool]
    ) -> list[Tensor]:
        return [
            self._network.step(x.t()[None], state, ends)[0].t()
            for x, state, ends in zip(inputs, states, last, strict=True)
        ]
