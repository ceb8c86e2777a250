"""Which layers go through a block together, and in pieces of how many rows.

The layers near the waveform have many rows and few weights: they go through a block in pieces, so
that all they pass on stays in the cache. Those near the codes have few rows and many weights: whole
blocks read the weights less often. An LSTM is a section of its own.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Literal

from encodec_cli.config.layers import LSTM, Activation, Convolution, Layer, TransposedConvolution
from encodec_cli.config.plan import NetworkPlan

__all__ = ["PlacedLayer", "Section", "sections_of"]

_FINE = 4096
"""Layers are fine if they take or give more numbers than this for each frame."""
_PIECE = 1 << 17
"""Numbers that a piece of a block has between two fine layers, or those of one frame."""
_WHOLE = 1 << 40
"""Rows of a piece that no block exceeds."""


@dataclass(frozen=True)
class PlacedLayer:
    """A layer that is no activation, under its module's name, and the activation before it.

    For each frame it takes `rows` rows, takes or gives `numbers` numbers, whichever is more, and
    multiplies `work` times.
    """

    module: str
    layer: Layer
    activation: Activation | None
    rows: int
    numbers: int
    work: int

    @property
    def kind(self) -> Literal["lstm", "fine", "deep"]:
        if isinstance(self.layer, LSTM):
            return "lstm"
        return "fine" if self.numbers > _FINE else "deep"


@dataclass(frozen=True)
class Section:
    """Layers that go through a block in pieces of at most `piece` rows."""

    layers: tuple[PlacedLayer, ...]
    piece: int

    @property
    def work(self) -> int:
        return sum(layer.work for layer in self.layers)


def sections_of(plan: NetworkPlan) -> tuple[list[Section], Activation | None]:
    """The sections of a network, and the activation after its last layer."""
    placed, last = _placed(plan)
    # A norm over all time needs whole signals at each layer.
    whole = any(".norm." in name for name in plan.shapes())
    sections = []
    for kind, group in itertools.groupby(placed, key=lambda each: each.kind):
        layers = tuple(group)
        frames = max(1, _PIECE // max(each.numbers for each in layers))
        cut = kind == "fine" and not whole
        sections.append(Section(layers, frames * layers[0].rows if cut else _WHOLE))
    if len(sections) == 1 and not whole:
        sections = _halves(sections[0])
    return sections, last


def _halves(section: Section) -> list[Section]:
    """A section as two of about the same work, which two threads can share."""
    layers = section.layers
    done = [0, *itertools.accumulate(layer.work for layer in layers)]
    cut = min(range(1, len(layers)), key=lambda i: abs(done[-1] - 2 * done[i]))
    later = section.piece // layers[0].rows * layers[cut].rows
    return [Section(layers[:cut], section.piece), Section(layers[cut:], later)]


def _placed(plan: NetworkPlan) -> tuple[list[PlacedLayer], Activation | None]:
    placed: list[PlacedLayer] = []
    activation: Activation | None = None
    rows = 1 if plan.decodes else plan.hop
    numbers = rows * plan.inputs
    for module, layer in plan.named():
        if isinstance(layer, Activation):
            activation = layer
            continue
        before, rows_before = numbers, rows
        match layer:
            case Convolution():
                rows //= layer.stride
                numbers = rows * layer.outputs
            case TransposedConvolution():
                rows *= layer.stride
                numbers = rows * layer.outputs
        most, work = max(before, numbers), min(rows_before, rows) * _weights(layer, module)
        placed.append(PlacedLayer(module, layer, activation, rows_before, most, work))
        activation = None
    return placed, activation


def _weights(layer: Layer, module: str) -> int:
    """How many numbers a layer multiplies with for a row on its shorter side."""
    return sum(math.prod(shape) for shape in layer.shapes(module).values())
