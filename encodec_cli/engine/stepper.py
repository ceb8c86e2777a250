"""Models of torch modules as engines: compiled where that is possible, arrays in and out."""

import threading
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encodec_cli.engine.network import CompiledNetwork, can_compile
from encodec_cli.engine.search import TorchQuantizer
from encodec_cli.nn.quantizer import ResidualVectorQuantizer
from encodec_cli.nn.seanet import SEANetDecoder, SEANetEncoder, SEANetState
from encodec_cli.runtime.norm import Back
from encodec_cli.runtime.protocol import Rows, Stepper
from encodec_cli.runtime.search import Prices, Quantizer

__all__ = ["TorchEngine"]

_Network = SEANetEncoder | SEANetDecoder
_CPU_STREAMS = 16
_GPU_STREAMS = 64
_SEGMENTS_TOGETHER = 4
"""Whole segments that one pass of the modules takes on a CPU, which more would not make faster."""


class TorchEngine:
    """One model of torch modules as an `Engine`, on their device and in their number format."""

    def __init__(
        self, encoder: SEANetEncoder, quantizer: ResidualVectorQuantizer, decoder: SEANetDecoder
    ) -> None:
        self._encoder, self._decoder = _Steppers(encoder), _Steppers(decoder)
        self._traced = _TracedDecoder(decoder)
        self._weight = next(decoder.parameters())
        books = TorchQuantizer([book.embed for book in quantizer.codebooks])
        self._quantizer = _ArrayQuantizer(books, self.device)

    @property
    def device(self) -> torch.device:
        return self._weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the convolutions."""
        return self._weight.dtype

    @property
    def streams(self) -> int:
        return _CPU_STREAMS if self.device.type == "cpu" else _GPU_STREAMS

    @property
    def takes_all_threads(self) -> bool:
        return self.device.type == "cpu"  # as many as torch was told to

    def overlapped(self) -> "TorchEngine":
        return self  # torch has threads of its own

    def encoder(self, block_frames: int | None) -> Stepper:
        return self._encoder.choose(block_frames)

    def decoder(self, block_frames: int | None) -> Stepper:
        return self._decoder.choose(block_frames)

    def traced_decoder(self) -> "_TracedDecoder":
        return self._traced

    def quantizer(self) -> "_ArrayQuantizer":
        return self._quantizer


class _TracedDecoder:
    """A decoder of modules, run by themselves, with torch's gradients."""

    def __init__(self, decoder: SEANetDecoder) -> None:
        self._decoder = decoder

    def traced(self, inputs: Rows, first: int) -> tuple[Rows, Back]:
        weight = next(self._decoder.parameters())
        latents = torch.from_numpy(inputs).to(device=weight.device, dtype=weight.dtype)
        latents = latents.detach().requires_grad_()
        # cuDNN has no gradient of an LSTM that is not being trained.
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            outputs = self._decoder(latents.t()[None])[0].t()[first:]

        def back(gradient: Rows) -> Rows:
            by_outputs = torch.from_numpy(gradient).to(outputs)
            (found,) = torch.autograd.grad(outputs, [latents], by_outputs)
            return _array(found)

        return _array(outputs.detach()), back


class _ArrayQuantizer:
    """A quantizer of tensors for those who have arrays; prices are for numpy."""

    def __init__(self, quantizer: TorchQuantizer, device: torch.device) -> None:
        self._quantizer, self._device = quantizer, device

    @property
    def books(self) -> list[NDArray[np.float32]]:
        return self._in_numpy.books

    @cached_property
    def _in_numpy(self) -> Quantizer:
        return Quantizer([_array(book) for book in self._quantizer.books])

    def encode(
        self, latents: Rows, n_q: int, beams: int, prices: Prices | None = None
    ) -> NDArray[np.uint16]:
        if prices is not None:
            return self._in_numpy.encode(latents, n_q, beams, prices)
        codes = self._quantizer.encode(torch.from_numpy(latents).to(self._device), n_q, beams)
        return codes.cpu().numpy().astype(np.uint16)

    def decode(self, codes: NDArray[np.integer[Any]]) -> Rows:
        indices = torch.from_numpy(codes.astype(np.int64)).to(self._device)
        return _array(self._quantizer.decode(indices))


class _TensorStepper(Protocol):
    """A `Stepper` of tensors."""

    def new_state(self) -> Any: ...

    def step(self, inputs: list[Tensor], states: list[Any], last: list[bool]) -> list[Tensor]: ...


class _Steppers:
    """One network in all its forms; the compiled one is made when first used."""

    def __init__(self, network: _Network) -> None:
        self._network = network
        self._modules = _ArrayStepper(_ModuleStepper(network), network)
        self._segments = _ArrayStepper(_SegmentStepper(network), network)
        self._compiled: _ArrayStepper | None = None
        self._least_frames = 0
        self._lock = threading.Lock()

    def choose(self, block_frames: int | None) -> Stepper:
        """Segments by themselves; compiled, unless the network or its block cannot be."""
        if block_frames is None:
            return self._segments
        if not can_compile(self._network):
            return self._modules
        with self._lock:
            if self._compiled is None:
                compiled = CompiledNetwork(self._network)
                self._compiled = _ArrayStepper(compiled, self._network)
                self._least_frames = compiled.least_frames
        return self._compiled if block_frames >= self._least_frames else self._modules


class _ArrayStepper:
    """A stepper of tensors for those who have arrays."""

    def __init__(self, stepper: _TensorStepper, network: _Network) -> None:
        self._stepper = stepper
        weight = next(network.parameters())
        self._device, self._dtype = weight.device, weight.dtype

    def new_state(self) -> Any:
        return self._stepper.new_state()

    def step(self, inputs: list[Rows], states: list[Any], last: list[bool]) -> list[Rows]:
        tensors = [torch.from_numpy(x).to(device=self._device, dtype=self._dtype) for x in inputs]
        return [_array(x) for x in self._stepper.step(tensors, states, last)]


def _array(x: Tensor) -> Rows:
    exact = x.to(torch.promote_types(x.dtype, torch.float32))
    array: Rows = np.ascontiguousarray(exact.cpu().numpy())
    return array


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
