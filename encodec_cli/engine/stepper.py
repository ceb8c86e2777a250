"""A model's networks and quantizer in the form that coding runs on."""

import threading
from typing import Any, Protocol

import torch
from torch import Tensor

from encodec_cli.engine.network import CompiledNetwork, can_compile
from encodec_cli.engine.quantizer import CompiledQuantizer
from encodec_cli.engine.search import beam_search
from encodec_cli.nn.quantizer import ResidualVectorQuantizer
from encodec_cli.nn.seanet import SEANetDecoder, SEANetEncoder, SEANetState

__all__ = ["Engine", "ModelEngine", "Stepper"]

_Network = SEANetEncoder | SEANetDecoder
_SEGMENTS_TOGETHER = 4
"""Whole segments that one pass of the modules takes on a CPU, which more would not make faster."""


class Stepper(Protocol):
    """An encoder or a decoder that goes through many streams at once, block by block."""

    def new_state(self) -> Any:
        """The state of a stream that has not begun."""

    def step(self, inputs: list[Tensor], states: list[Any], last: list[bool]) -> list[Tensor]:
        """Outputs `[m, C']` that the next rows `[n, C]` of each stream complete.

        Streams that go on give equally many rows, a whole number of frames; those that end give
        at most as many. Moves each stream's state on.
        """


class Engine(Protocol):
    """What streams run on: the networks and the quantizer of one model."""

    def encoder(self, block_frames: int | None) -> Stepper:
        """For streams in blocks of so many frames; None: each block is a signal of its own."""

    def decoder(self, block_frames: int | None) -> Stepper:
        """For streams in blocks of so many frames; None: each block is a signal of its own."""

    def quantize(self, latents: Tensor, n_q: int, beams: int = 1) -> Tensor:
        """Codes `[n_q, T]` (int64) of latents `[T, D]`; for `beams` see `beam_search`."""

    def dequantize(self, codes: Tensor) -> Tensor:
        """Latents `[T, D]` of codes `[K, T]` (int64), all of them within their codebooks."""


class ModelEngine:
    """One model, compiled where that is possible."""

    def __init__(
        self, encoder: SEANetEncoder, quantizer: ResidualVectorQuantizer, decoder: SEANetDecoder
    ) -> None:
        self._encoder, self._decoder = _Steppers(encoder), _Steppers(decoder)
        self._modules = quantizer
        self._dtype = next(decoder.parameters()).dtype
        self._quantizer = CompiledQuantizer(quantizer, self._dtype)

    def encoder(self, block_frames: int | None) -> Stepper:
        return self._encoder.choose(block_frames)

    def decoder(self, block_frames: int | None) -> Stepper:
        return self._decoder.choose(block_frames)

    def quantize(self, latents: Tensor, n_q: int, beams: int = 1) -> Tensor:
        if beams > 1:
            exact = latents.to(torch.promote_types(latents.dtype, torch.float32))
            return beam_search(exact, self._modules.tables(n_q), beams)
        return self._quantizer.encode(latents, n_q)

    def dequantize(self, codes: Tensor) -> Tensor:
        return self._quantizer.decode(codes).to(self._dtype)


class _Steppers:
    """One network in all its forms; the compiled one is made when first used."""

    def __init__(self, network: _Network) -> None:
        self._network = network
        self._modules, self._segments = _ModuleStepper(network), _SegmentStepper(network)
        self._compiled: CompiledNetwork | None = None
        self._lock = threading.Lock()

    def choose(self, block_frames: int | None) -> Stepper:
        """The one place that decides: compiled, unless that covers not this model or block."""
        if block_frames is None:
            return self._segments
        if not can_compile(self._network):
            return self._modules
        with self._lock:
            if self._compiled is None:
                self._compiled = CompiledNetwork(self._network)
        return self._compiled if block_frames >= self._compiled.least_frames else self._modules


class _ModuleStepper:
    """The modules themselves, stream by stream: slower, but for every config and block."""

    def __init__(self, network: _Network) -> None:
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


class _SegmentStepper:
    """Whole segments, those of equal length together."""

    def __init__(self, network: _Network) -> None:
        self._network = network

    def new_state(self) -> None:
        return None

    @torch.inference_mode()
    def step(self, inputs: list[Tensor], states: list[None], last: list[bool]) -> list[Tensor]:
        outputs = list(inputs)
        by_length: dict[int, list[int]] = {}
        for i, x in enumerate(inputs):
            by_length.setdefault(x.shape[0], []).append(i)
        for same in by_length.values():
            together = _SEGMENTS_TOGETHER if inputs[0].device.type == "cpu" else len(same)
            for start in range(0, len(same), together):
                chosen = same[start : start + together]
                batch = torch.stack([inputs[i].t() for i in chosen])
                for i, out in zip(chosen, self._network(batch), strict=True):
                    outputs[i] = out.t()
        return outputs
