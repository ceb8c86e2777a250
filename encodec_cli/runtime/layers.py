"""The layers of a network with their weights laid out for few, large matrix products.

Each has `step(x, state, last, scratch)`: `x` `[n, C]` are the next rows of one stream, and what
they complete comes back, in scratch memory. `last` says that none follow. `state` is the stream's
own and moves on. An activation belongs to the layer after it.

`traced` runs a whole signal by itself and keeps what the way back of gradients needs, which are the
inputs of activations. What it gives belongs to the caller.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from encodec_cli.config.layers import (
    Activation,
    Convolution,
    ResidualBlock,
    TransposedConvolution,
)
from encodec_cli.runtime.activation import activation_for, derivative_for
from encodec_cli.runtime.edges import Held, Windows, fold_edges
from encodec_cli.runtime.norm import Back, Normalize, norm_for
from encodec_cli.runtime.products import Products
from encodec_cli.runtime.scratch import Numbers, Scratch

__all__ = ["Conv", "Get", "OverlapState", "Residual", "ResidualState", "RowLayer", "Upsampling"]

Get = Callable[[str], Numbers]
"""Gives the tensor of a name."""


class RowLayer(Protocol):
    """A layer that takes one stream's rows by themselves."""

    def new_state(self) -> Any:
        """The state of a stream that has not begun."""

    def step(self, x: Numbers, state: Any, last: bool, scratch: Scratch) -> Numbers:
        """The rows that the next ones complete; they lie in `scratch`."""

    def traced(self, x: Numbers, scratch: Scratch) -> tuple[Numbers, Back]:
        """The rows of a whole signal `[n, C]`, and the way back; `x` must not change before it."""


class Conv:
    """Convolution after an optional activation, and the norm that follows it."""

    def __init__(
        self, plan: Convolution, get: Get, module: str, activation: Activation | None, out: str
    ) -> None:
        activate = None if activation is None else activation_for(activation)
        kernel = np.ascontiguousarray(get(f"{module}.conv.conv.weight").transpose(2, 1, 0))
        bias = get(f"{module}.conv.conv.bias")
        self._products = Products(kernel, bias, plan.stride, plan.dilation)
        self._windows = Windows(plan, activate, self._products.rows_for)
        self._plan, self._activation = plan, activation
        # Each output is made of one row as it comes: there is nothing to hold or to pad.
        self._pointwise = plan.reach == plan.stride == 1 and activate is None
        self._normalize = norm_for(plan.norm, plan.norm_params, get, f"{module}.conv.norm")
        self._out = out

    def new_state(self) -> Held:
        return Held()

    def step(self, x: Numbers, state: Held, last: bool, scratch: Scratch) -> Numbers:
        out = self._convolved(x, state, last, scratch)
        if self._normalize is not None:
            self._normalize(out)
        return out

    def traced(self, x: Numbers, scratch: Scratch) -> tuple[Numbers, Back]:
        found = self._convolved(x, Held(), True, scratch).copy()
        found, through_norm = _normalized(found, self._normalize)
        plan, count = self._plan, x.shape[0]
        right = plan.ahead + -count % plan.stride

        def back(gradient: Numbers) -> Numbers:
            window = self._products.adjoint(through_norm(gradient), scratch)
            by_x = fold_edges(window[: plan.back + count + right], plan.back, right, plan.pad_mode)
            return _through(self._activation, by_x, x)

        return found, back

    def _convolved(self, x: Numbers, state: Held, last: bool, scratch: Scratch) -> Numbers:
        if self._pointwise:
            return self._products.over(x, x.shape[0], self._out, scratch)
        window = self._windows.fill(x, state, last, scratch)
        return self._products.over(window.rows, window.outputs, self._out, scratch)


@dataclass
class ResidualState:
    """States of the branch and the shortcut; `waiting` `[m, C]` are rows the branch still owes."""

    branch: list[Held]
    shortcut: Held
    waiting: Numbers | None = None


class Residual:
    """Residual block: activated convolutions beside a shortcut."""

    def __init__(self, plan: ResidualBlock, get: Get, module: str, out: str) -> None:
        activation = plan.activation
        places = plan.names(module)
        count = len(plan.convolutions)
        self._branch = [
            Conv(conv, get, place, activation, out if i == count - 1 else f"hidden{i % 2}")
            for i, (conv, place) in enumerate(zip(plan.convolutions, places, strict=True))
        ]
        self._shortcut = (
            None
            if plan.shortcut is None
            else Conv(plan.shortcut, get, f"{module}.shortcut", None, "shortcut")
        )

    def new_state(self) -> ResidualState:
        return ResidualState([conv.new_state() for conv in self._branch], Held())

    def step(self, x: Numbers, state: ResidualState, last: bool, scratch: Scratch) -> Numbers:
        through = x
        for conv, held in zip(self._branch, state.branch, strict=True):
            through = conv.step(through, held, last, scratch)
        around = x
        if self._shortcut is not None:
            around = self._shortcut.step(x, state.shortcut, last, scratch)
        if state.waiting is not None:
            around = np.concatenate((state.waiting, around))
        ready = through.shape[0]
        state.waiting = around[ready:].copy() if ready < around.shape[0] else None
        np.add(through, around[:ready], out=through)
        return through

    def traced(self, x: Numbers, scratch: Scratch) -> tuple[Numbers, Back]:
        through = x
        backs: list[Back] = []
        for conv in self._branch:
            through, through_conv = conv.traced(through, scratch)
            backs.append(through_conv)
        around = x
        back_around: Back = _unchanged
        if self._shortcut is not None:
            around, back_around = self._shortcut.traced(x, scratch)

        def back(gradient: Numbers) -> Numbers:
            found = gradient.copy()
            for each in reversed(backs):
                found = each(found)
            np.add(found, back_around(gradient), out=found)
            return found

        np.add(through, around, out=through)
        return through, back


@dataclass
class OverlapState:
    """The last rows `[m, C]` of one stream, activated, and how many came in all."""

    rows: Numbers | None = None
    count: int = field(default=0)


class Upsampling:
    """Transposed convolution after an activation.

    Each input row, with those before it that overlap, makes `stride` output rows: a convolution
    with `stride * C'` outputs. One that looks ahead drops the first rows of a stream.
    """

    def __init__(
        self,
        plan: TransposedConvolution,
        get: Get,
        module: str,
        activation: Activation | None,
        out: str,
    ) -> None:
        self._plan = plan
        self._overlap = -(-plan.kernel // plan.stride) - 1
        self._trim = plan.trim_left
        weight = get(f"{module}.convtr.convtr.weight")  # [C, C', k]
        spare = (self._overlap + 1) * plan.stride - plan.kernel
        if spare:
            weight = np.pad(weight, ((0, 0), (0, 0), (0, spare)))
        # [C, C', taps, s] -> taps, C, (s, C'); the tap of the earliest row comes first.
        taps = weight.reshape(plan.inputs, plan.outputs, -1, plan.stride)[:, :, ::-1]
        kernel = taps.transpose(2, 0, 3, 1).reshape(self._overlap + 1, plan.inputs, -1)
        bias = np.tile(get(f"{module}.convtr.convtr.bias"), plan.stride)
        self._products = Products(kernel, bias, 1, 1)
        self._activation = activation
        self._activate = None if activation is None else activation_for(activation)
        self._normalize = norm_for(plan.norm, plan.norm_params, get, f"{module}.convtr.norm")
        self._out = out

    def new_state(self) -> OverlapState:
        return OverlapState()

    def step(self, x: Numbers, state: OverlapState, last: bool, scratch: Scratch) -> Numbers:
        rows, before = x.shape[0], state.count
        found, after = self._overlapping(x, state, last, scratch)
        if self._normalize is not None:
            self._normalize(found)
        start = max(0, self._trim - before * self._plan.stride)
        end = rows * self._plan.stride + (self._trim if after else 0)
        return found[start : max(start, end)]

    def traced(self, x: Numbers, scratch: Scratch) -> tuple[Numbers, Back]:
        plan, overlap, rows = self._plan, self._overlap, x.shape[0]
        found, _ = self._overlapping(x, OverlapState(), True, scratch)
        untrimmed = found.shape[0]
        found, through_norm = _normalized(found.copy(), self._normalize)
        kept = slice(self._trim, self._trim + rows * plan.stride)

        def back(gradient: Numbers) -> Numbers:
            whole = np.zeros((-(-untrimmed // plan.stride) * plan.stride, plan.outputs), x.dtype)
            whole[kept] = gradient
            whole[:untrimmed] = through_norm(whole[:untrimmed])
            made = whole.reshape(-1, plan.stride * plan.outputs)
            by_x = self._products.adjoint(made, scratch)[overlap : overlap + rows]
            return _through(self._activation, by_x, x)

        return found[kept], back

    def _overlapping(
        self, x: Numbers, state: OverlapState, last: bool, scratch: Scratch
    ) -> tuple[Numbers, int]:
        """The next rows, untrimmed, and how many of them only the last inputs reach."""
        plan, overlap, rows = self._plan, self._overlap, x.shape[0]
        state.count += rows
        # At the end come rows that only the last inputs reach; some norms see even those trimmed.
        after = plan.kernel - plan.stride if last and state.count else 0
        outputs = rows + -(-after // plan.stride)
        size = max(self._products.rows_for(outputs), overlap + rows)
        buffer = scratch.take("window", size, plan.inputs, x.dtype)
        buffer[:overlap] = 0 if state.rows is None else state.rows
        end = overlap + rows
        if self._activate is None:
            buffer[overlap:end] = x
        elif rows:
            self._activate(buffer[overlap:end], x)
        buffer[end:] = 0
        state.rows = None if last else buffer[rows:end].copy()
        out = self._products.over(buffer, outputs, self._out, scratch)
        return out.reshape(-1, plan.outputs)[: rows * plan.stride + after], after


def _unchanged(gradient: Numbers) -> Numbers:
    return gradient


def _normalized(x: Numbers, normalize: Normalize | None) -> tuple[Numbers, Back]:
    return (x, _unchanged) if normalize is None else normalize.traced(x)


def _through(activation: Activation | None, gradient: Numbers, x: Numbers) -> Numbers:
    """The way back of an activation at `x`."""
    if activation is not None:
        derivative_for(activation)(gradient, x)
    return gradient
