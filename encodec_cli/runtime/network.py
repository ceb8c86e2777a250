"""An encoder or a decoder in numpy, stepped for many streams block by block.

    samples [n, C] --fine layers, in short pieces--> --deep layers--> latents [T, D]

A decoder is the mirror image. An LSTM takes the rows of all streams at once, other layers each
stream by itself.
"""

import itertools
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from encodec_cli.config.layers import (
    LSTM,
    Activation,
    Convolution,
    Layer,
    ResidualBlock,
    TransposedConvolution,
)
from encodec_cli.config.plan import NetworkPlan
from encodec_cli.runtime.activation import activation_for, derivative_for, has_activation
from encodec_cli.runtime.gradient import Traced, traced
from encodec_cli.runtime.layers import Conv, Get, Residual, RowLayer, Upsampling
from encodec_cli.runtime.lstm import LSTMState, RecurrentLayer
from encodec_cli.runtime.norm import Back, has_norm
from encodec_cli.runtime.protocol import Rows
from encodec_cli.runtime.scratch import Scratch
from encodec_cli.runtime.sections import Section, sections_of

__all__ = ["Network", "NetworkState", "can_run"]


@dataclass
class NetworkState:
    """What one stream left behind in each section."""

    sections: list[Any]


def can_run(plan: NetworkPlan) -> bool:
    """Whether `Network` has all that a plan is made of."""
    return all(_can_run(layer) for layer in plan.layers)


def _can_run(layer: Layer) -> bool:
    match layer:
        case Activation():
            return has_activation(layer)
        case Convolution() | TransposedConvolution():
            return has_norm(layer.norm, layer.norm_params)
        case ResidualBlock():
            parts: list[Layer] = [layer.activation, *layer.convolutions]
            return all(map(_can_run, parts + ([layer.shortcut] if layer.shortcut else [])))
        case LSTM():
            return True


class Network:
    """The network of a plan; the weights that `get` gives are copied into another layout.

    Attributes:
        outputs: numbers C' in a row of what comes out.
        half: sections that do about half the work.
    """

    def __init__(self, plan: NetworkPlan, get: Get) -> None:
        self.outputs = plan.outputs
        sections, last = sections_of(plan)
        self._sections = [_section(section, get) for section in sections]
        if last is not None:
            self._sections.append(_Final(last))
        self._layers: list[Layer] = [
            *(placed.layer for section in sections for placed in section.layers),
            *([] if last is None else [last]),
        ]
        self.half = _half(plan, sections)

    def new_state(self) -> NetworkState:
        """The state of a stream that has not begun."""
        return NetworkState([section.new_state() for section in self._sections])

    def step(
        self,
        inputs: list[Rows],
        states: list[NetworkState],
        last: list[bool],
        sections: slice = slice(None),
    ) -> list[Rows]:
        """Outputs `[m, C']` that the next rows `[n, C]` of each stream complete; any n >= 0.

        A step may be done in parts: those that begin with no `sections` before them take rows, the
        others what the sections before gave, once those of all steps before are done.
        """
        rows = inputs
        # Weights of any size are allowed; what overflows is as infinite as it is in torch.
        with np.errstate(over="ignore", invalid="ignore"):
            for i in range(len(self._sections))[sections]:
                rows = self._sections[i].step(rows, [state.sections[i] for state in states], last)
        return rows

    def traced(self, inputs: Rows, first: int = 0) -> tuple[Rows, Back]:
        """Outputs `[m, C']` of a whole signal `[n, C]` from row `first` on, and the way back.

        n >= 1, and there is such a row. The way back takes the gradient of a number by these
        outputs, which it may overwrite, and gives that by the inputs, which must not change before.
        """
        runs = [run for section in self._sections for run in section.runs()]
        with np.errstate(over="ignore", invalid="ignore"):
            return traced(self._layers, runs, inputs, first)


def _half(plan: NetworkPlan, sections: list[Section]) -> int:
    """How many sections do about half the work of a step.

    After an encoder comes the search. It takes longer than one without an LSTM, which as a whole is
    then the end of a step, beside the search for the block before.
    """
    if not plan.decodes and not any(isinstance(layer, LSTM) for layer in plan.layers):
        return 0
    done = [0, *itertools.accumulate(section.work for section in sections)]
    return min(range(len(sections)), key=lambda i: abs(done[-1] - 2 * done[i]))


def _section(section: Section, get: Get) -> "_Apart | _Together | _Final":
    first = section.layers[0]
    if isinstance(first.layer, LSTM):
        return _Together(RecurrentLayer(first.layer, get, first.module))
    layers = []
    for i, placed in enumerate(section.layers):
        layers.append(
            _row_layer(placed.layer, get, placed.module, placed.activation, f"out{i % 2}")
        )
    return _Apart(layers, section.piece)


def _row_layer(
    layer: Layer, get: Get, module: str, activation: Activation | None, out: str
) -> RowLayer:
    match layer:
        case Convolution():
            return Conv(layer, get, module, activation, out)
        case TransposedConvolution():
            return Upsampling(layer, get, module, activation, out)
        case ResidualBlock():
            return Residual(layer, get, module, out)
        case _:
            raise TypeError(f"{layer} takes no single stream's rows")


class _Apart:
    """Layers that take each stream by itself, in pieces of at most `piece` rows."""

    def __init__(self, layers: list[RowLayer], piece: int) -> None:
        self._layers, self._piece = layers, piece
        self._scratch = Scratch()

    def new_state(self) -> list[Any]:
        return [layer.new_state() for layer in self._layers]

    def step(self, inputs: list[Rows], states: list[list[Any]], last: list[bool]) -> list[Rows]:
        return list(map(self._run, inputs, states, last))

    def _run(self, x: Rows, states: list[Any], last: bool) -> Rows:
        made = []
        for start in range(0, max(1, x.shape[0]), self._piece):
            rows = x[start : start + self._piece]
            ends = last and start + self._piece >= x.shape[0]
            for layer, state in zip(self._layers, states, strict=True):
                rows = layer.step(rows, state, ends, self._scratch)
            made.append(rows.copy())
        return made[0] if len(made) == 1 else np.concatenate(made)

    def runs(self) -> list[Traced]:
        return [partial(layer.traced, scratch=self._scratch) for layer in self._layers]


class _Together:
    """An LSTM, which takes all streams at once."""

    def __init__(self, layer: RecurrentLayer) -> None:
        self._layer = layer

    def new_state(self) -> LSTMState:
        return self._layer.new_state()

    def step(self, inputs: list[Rows], states: list[LSTMState], last: list[bool]) -> list[Rows]:
        return self._layer.step(inputs, states)

    def runs(self) -> list[Traced]:
        return [self._layer.traced]


class _Final:
    """The activation behind all layers."""

    def __init__(self, activation: Activation) -> None:
        self._activate, self._derive = activation_for(activation), derivative_for(activation)

    def new_state(self) -> None:
        return None

    def step(self, inputs: list[Rows], states: list[None], last: list[bool]) -> list[Rows]:
        for x in inputs:
            self._activate(x, x)
        return inputs

    def runs(self) -> list[Traced]:
        return [self._traced]

    def _traced(self, x: Rows) -> tuple[Rows, Back]:
        out = np.empty_like(x)
        self._activate(out, x)

        def back(gradient: Rows) -> Rows:
            self._derive(gradient, x)
            return gradient

        return out, back
