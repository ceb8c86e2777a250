"""A network on two threads: the end of one block's step beside the beginning of the next one's.

    this thread       | begin 1 | begin 2  | begin 3  | ...
    the stream's own            | finish 1 | finish 2 | ...

Outputs are those of the network, one block later.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from encodec_cli.runtime.network import Network, NetworkState
from encodec_cli.runtime.protocol import Rows

__all__ = ["OverlappedNetwork", "OverlappedState"]


@dataclass
class OverlappedState:
    """A stream's state, its thread, and the step that is not finished."""

    network: NetworkState
    thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))
    unfinished: "Future[list[Rows]] | None" = None


class OverlappedNetwork:
    """A `Stepper` that gives what `network` gives, a block later; at a stream's end, all of it."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def new_state(self) -> OverlappedState:
        """The state of a stream that has not begun."""
        return OverlappedState(self._network.new_state())

    def step(
        self, inputs: list[Rows], states: list[OverlappedState], last: list[bool]
    ) -> list[Rows]:
        """Outputs `[m, C']` of the block before, and of this one where it is the last."""
        return [self._step(*each) for each in zip(inputs, states, last, strict=True)]

    def _step(self, rows: Rows, state: OverlappedState, last: bool) -> Rows:
        step, half = self._network.step, self._network.half
        begun = step([rows], [state.network], [last], slice(half))
        finish = state.thread.submit(step, begun, [state.network], [last], slice(half, None))
        steps = [state.unfinished] if state.unfinished is not None else []
        state.unfinished = finish
        if last:
            steps.append(finish)
            state.thread.shutdown()
        found = [step.result()[0] for step in steps]
        return np.concatenate(found) if found else self._nothing()

    def _nothing(self) -> Rows:
        return np.zeros((0, self._network.outputs), np.float32)
