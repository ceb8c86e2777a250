"""Encoders and decoders compiled for coding, and stepped for many streams at once.

    samples [n, C]                                                  latents [T, D]
    --front layers, stream by stream--> --deep layers, all streams together-->

The layers near the waveform have many rows and few weights: what one stream fills of the cache is
enough. Those near the codes have few rows and many weights: one product for all streams reads the
weights once. A decoder is the mirror image.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from encodec_cli.config.layers import (
    LSTM,
    Activation,
    Convolution,
    Layer,
    ResidualBlock,
    TransposedConvolution,
)
from encodec_cli.engine.activation import UNIT, compiled_activation
from encodec_cli.engine.activation import Activation as Activate
from encodec_cli.engine.layers import (
    CompiledConv,
    CompiledLayer,
    CompiledResidual,
    CompiledUpsampling,
)
from encodec_cli.engine.lstm import CompiledLSTM
from encodec_cli.engine.rows import Rows, Scratch
from encodec_cli.engine.windows import State
from encodec_cli.nn.conv import StreamableConv1d, StreamableConvTranspose1d
from encodec_cli.nn.lstm import StreamableLSTM
from encodec_cli.nn.seanet import SEANetDecoder, SEANetEncoder, SEANetResnetBlock

__all__ = ["CompiledNetwork", "NetworkState", "can_compile"]

_DEEP_ROWS = 8
"""Layers are deep if a frame is at most so many rows before and after them."""


@dataclass
class NetworkState:
    """What one stream left behind in each layer; None before its first rows."""

    layers: list[State]

    @property
    def begun(self) -> bool:
        """Whether there were rows; a network that looks ahead remembers the last one."""
        return any(state is not None for state in self.layers)


def can_compile(network: SEANetEncoder | SEANetDecoder) -> bool:
    """Whether `CompiledNetwork` has all that `network` is made of; others run as modules."""
    return all(map(_can_compile, network.plan.layers)) and not isinstance(
        network.plan.layers[-1], Activation
    )


def _can_compile(layer: Layer) -> bool:
    match layer:
        case Activation():
            return compiled_activation(layer) is not None
        case Convolution() | TransposedConvolution():
            return layer.causal and layer.norm in ("none", "weight_norm")
        case ResidualBlock():
            return all(map(_can_compile, layer.convolutions))
        case LSTM():
            return True


@dataclass
class _Placed:
    """A layer, and how many rows a frame is before and after it.

    `lag` counts the rows that the layers before it keep back, because they look ahead.
    """

    layer: CompiledLayer
    rows_in: int
    rows_out: int
    lag: int

    @property
    def deep(self) -> bool:
        return max(self.rows_in, self.rows_out) <= _DEEP_ROWS

    @property
    def least_frames(self) -> int:
        """Frames that a first block must have for the rows that the layer reflects."""
        reflected = self.layer.reflected
        return -(-(self.lag + reflected + 1) // self.rows_in) if reflected else 1


class CompiledNetwork:
    """A causal network ready to code; the weights are copies, in another layout."""

    def __init__(self, network: SEANetEncoder | SEANetDecoder) -> None:
        self._decodes = network.plan.decodes
        self._channels_out = network.plan.outputs
        placed = list(_compile(network))
        self._lag = placed[-1].lag
        self._layers = [p.layer for p in placed]
        deep = [i for i, p in enumerate(placed) if p.deep]
        count = len(placed)
        front = range(deep[-1] + 1, count) if self._decodes else range(deep[0])
        self._front, self._deep = front, range(deep[0], deep[-1] + 1)
        self._front_scratch, self._deep_scratch = Scratch(), Scratch()
        self.least_frames = max(p.least_frames for p in placed)
        """Frames that a stream's first block must have unless it is also its last."""

    def new_state(self) -> NetworkState:
        """The state of a stream that has not begun."""
        return NetworkState([None] * len(self._layers))

    @torch.inference_mode()
    def step(
        self, inputs: list[Tensor], states: list[NetworkState], last: list[bool]
    ) -> list[Tensor]:
        """Outputs `[m, C']` that the next rows `[n, C]` of each stream complete.

        Streams that go on give equally many rows, a whole number of frames; those that end give
        at most as many. Moves each stream's state on.
        """
        outputs = [x.new_zeros(0, self._channels_out) for x in inputs]
        # A stream that ends with a whole block has no rows left for its last step: only what looks
        # ahead then owes outputs.
        some = [
            i
            for i, (x, state, ends) in enumerate(zip(inputs, states, last, strict=True))
            if x.shape[0] or (self._lag and ends and state.begun)
        ]
        if some:
            found = self._step(
                [inputs[i] for i in some], [states[i] for i in some], [last[i] for i in some]
            )
            for i, rows in zip(some, found, strict=True):
                outputs[i] = rows
        return outputs

    def _step(
        self, inputs: list[Tensor], states: list[NetworkState], last: list[bool]
    ) -> list[Tensor]:
        rows = self._run_deep(inputs, states, last) if self._decodes else inputs
        rows = [self._run_front(*each) for each in zip(rows, states, last, strict=True)]
        if self._decodes:
            return rows
        return [x.clone() for x in self._run_deep(rows, states, last)]

    def _run_front(self, x: Tensor, state: NetworkState, last: bool) -> Tensor:
        rows = Rows.whole(x[None], [x.shape[0]], [last])
        [found] = self._run(self._front, rows, [state], self._front_scratch).valid()
        return found.clone()

    def _run_deep(
        self, inputs: list[Tensor], states: list[NetworkState], last: list[bool]
    ) -> list[Tensor]:
        """All streams together; the results lie in scratch memory."""
        lengths = [x.shape[0] for x in inputs]
        if len(inputs) == 1:
            data = inputs[0][None]
        else:
            data = self._deep_scratch.take(
                "inputs", inputs[0], len(inputs), max(lengths), inputs[0].shape[1]
            )
            for x, place in zip(inputs, data, strict=True):
                place[: x.shape[0]] = x
                place[x.shape[0] :] = 0
        rows = Rows.whole(data, lengths, last)
        return self._run(self._deep, rows, states, self._deep_scratch).valid()

    def _run(self, layers: range, rows: Rows, states: list[NetworkState], scratch: Scratch) -> Rows:
        for i in layers:
            own = [state.layers[i] for state in states]
            rows = self._layers[i].step(rows, own, scratch)
            for state, moved in zip(states, own, strict=True):
                state.layers[i] = moved
        return rows


def _compile(network: SEANetEncoder | SEANetDecoder) -> Iterator[_Placed]:
    """The layers of `network`; each writes to other memory than the one before it."""
    rows = 1 if network.plan.decodes else network.plan.hop
    lag, last = 0, len(network.model) - 1
    act: Activate | None = None
    for i, (plan, module) in enumerate(zip(network.plan.layers, network.model, strict=True)):
        name = f"out{i % 2}"
        after, lag_after = rows, lag
        layer: CompiledLayer
        match plan, module:
            case Activation(), _:
                act = compiled_activation(plan)
                continue
            case Convolution(), StreamableConv1d():
                # What comes in and what leaves is in units of its own.
                units = (1.0 if i == 0 else UNIT, 1.0 if i == last else UNIT)
                layer = CompiledConv(module, act, name, *units)
                after = rows // plan.stride
            case TransposedConvolution(), StreamableConvTranspose1d():
                layer = CompiledUpsampling(module, act, name)
                after, lag_after = rows * plan.stride, lag * plan.stride + plan.trim_left
            case ResidualBlock(), SEANetResnetBlock():
                layer = CompiledResidual(module, name)
            case LSTM(), StreamableLSTM():
                layer = CompiledLSTM(module)
            case _:
                raise TypeError(f"{type(module).__name__} is not the module of {plan}")
        act = None
        yield _Placed(layer, rows, after, lag)
        rows, lag = after, lag_after
