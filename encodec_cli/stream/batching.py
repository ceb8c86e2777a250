"""Many files at once: each in a thread of its own, their network steps gathered into batches.

    file 1 --read, resample--> call --.                       .--> codes --> write
    file 2 --read, resample--> call ---> one batch, main thread ---> ...
    file 3 --read, resample--> call --'                       '--> ...

A thread that has done its file takes the next one, so batches stay full however much the lengths
differ. Memory is bounded: so many streams, one block each. Only the thread that iterates over `run`
computes; the others read, resample and write.
"""

import dataclasses
import functools
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Generic, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from encodec_cli.model.codec import Codec
from encodec_cli.runtime.norm import Back
from encodec_cli.runtime.protocol import Engine, EngineQuantizer, Rows, Stepper, TracedNetwork
from encodec_cli.runtime.search import Prices

__all__ = ["Outcome", "Scheduler", "run_together"]

_T = TypeVar("_T")
_PATIENCE_SECONDS = 0.05
"""How long a batch waits for threads that still read or write."""


@dataclass
class Outcome(Generic[_T]):
    """What became of a job: its value, or what it raised."""

    job: int
    value: _T | None = None
    error: Exception | None = None

    def result(self) -> _T:
        """The value.

        Raises:
            Exception: what the job raised.
        """
        if self.error is not None:
            raise self.error
        return cast(_T, self.value)


@dataclass
class _Call:
    """One thread's share of a batch."""

    key: object
    together: Callable[[list[Any]], list[Any]]
    item: Any
    result: Any = None
    error: Exception | None = None
    done: bool = False


class _Stopped(BaseException):
    """Unwinds the threads when whoever waited for them has gone."""


def run_together(
    codec: Codec,
    jobs: Iterable[Callable[[Codec], _T]],
    *,
    streams: int,
    ahead: int | None = None,
) -> Generator[Outcome[_T]]:
    """Do jobs that code with the codec they are given, at most `streams` at a time.

    Yields what became of each, as they end. An error of one is nobody else's. No job is begun that
    is `ahead` jobs after one that has not ended.
    """
    scheduler: Scheduler[_T] = Scheduler(streams, ahead)
    shared = dataclasses.replace(codec, engine=_SharedEngine(codec.engine, scheduler))
    return scheduler.run(functools.partial(job, shared) for job in jobs)


class Scheduler(Generic[_T]):
    """Runs jobs in `streams` threads; what they `call` runs in batches, in the thread of `run`."""

    def __init__(self, streams: int, ahead: int | None = None) -> None:
        self._streams = streams
        self._ahead = ahead
        self._changed = threading.Condition()
        self._calls: list[_Call] = []
        self._outcomes: list[Outcome[_T]] = []
        self._busy = 0
        self._held_back = 0
        self._running: set[int] = set()
        self._begun = 0
        self._lost: BaseException | None = None
        self._stopped = False

    def call(self, key: object, together: Callable[[list[Any]], list[Any]], item: Any) -> Any:
        """From a job: `together` of this item and those that others call with an equal `key`."""
        call = _Call(key, together, item)
        with self._changed:
            self._calls.append(call)
            self._changed.notify_all()
            self._changed.wait_for(lambda: call.done or self._stopped)
        if not call.done:
            raise _Stopped
        if call.error is not None:
            raise call.error
        return call.result

    def run(self, jobs: Iterable[Callable[[], _T]]) -> Generator[Outcome[_T]]:
        """Yield what became of each job, as they end."""
        rest = iter(jobs)
        first = list(islice(rest, self._streams))
        waiting = enumerate(chain(first, rest))
        threads = [threading.Thread(target=self._work, args=(waiting,), daemon=True) for _ in first]
        self._busy = len(threads)
        for thread in threads:
            thread.start()
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(self._all_wait, _PATIENCE_SECONDS)
                    calls, self._calls = self._calls, []
                    outcomes, self._outcomes = self._outcomes, []
                    over = not self._busy and not calls
                    lost, self._lost = self._lost, None
                if lost is not None:
                    raise lost
                yield from outcomes
                self._answer(calls)
                if over:
                    return
        finally:
            with self._changed:
                self._stopped = True
                self._changed.notify_all()
            for thread in threads:
                thread.join()

    def _all_wait(self) -> bool:
        return len(self._calls) == self._busy - self._held_back or self._lost is not None

    def _work(self, waiting: Iterator[tuple[int, Callable[[], _T]]]) -> None:
        try:
            while (job := self._next(waiting)) is not None:
                number, work = job
                outcome: Outcome[_T] = Outcome(number)
                try:
                    outcome.value = work()
                except Exception as error:
                    outcome.error = error
                with self._changed:
                    self._outcomes.append(outcome)
                    self._running.discard(number)
                    self._changed.notify_all()
        except _Stopped:
            pass
        except BaseException as error:  # of whoever makes the jobs: theirs who asked for them
            with self._changed:
                self._lost = error
        finally:
            with self._changed:
                self._busy -= 1
                self._changed.notify_all()

    def _next(
        self, waiting: Iterator[tuple[int, Callable[[], _T]]]
    ) -> tuple[int, Callable[[], _T]] | None:
        with self._changed:
            self._held_back += 1
            self._changed.wait_for(lambda: self._stopped or self._may_begin())
            self._held_back -= 1
            job = None if self._stopped else next(waiting, None)
            if job is not None:
                self._running.add(job[0])
                self._begun += 1
            return job

    def _may_begin(self) -> bool:
        if self._ahead is None or not self._running:
            return True
        return self._begun - min(self._running) < self._ahead

    def _answer(self, calls: list[_Call]) -> None:
        groups: dict[object, list[_Call]] = {}
        for call in calls:
            groups.setdefault(call.key, []).append(call)
        for group in groups.values():
            _compute(group)
        with self._changed:
            for call in calls:
                call.done = True
            self._changed.notify_all()


def _compute(group: list[_Call]) -> None:
    try:
        results = group[0].together([call.item for call in group])
    except Exception as error:
        if len(group) == 1:
            group[0].error = error
            return
        for call in group:  # what is wrong with one must not fail the others
            _compute([call])
        return
    for call, result in zip(group, results, strict=True):
        call.result = result


class _SharedEngine:
    """An engine whose work is gathered from all threads of a scheduler."""

    def __init__(self, engine: Engine, scheduler: Scheduler[Any]) -> None:
        self._engine = engine
        self._scheduler = scheduler

    @property
    def streams(self) -> int:
        return self._engine.streams

    @property
    def takes_all_threads(self) -> bool:
        return self._engine.takes_all_threads

    def overlapped(self) -> "_SharedEngine":
        return self

    def encoder(self, block_frames: int | None) -> Stepper:
        return _SharedStepper(self._engine.encoder(block_frames), self._scheduler)

    def decoder(self, block_frames: int | None) -> Stepper:
        return _SharedStepper(self._engine.decoder(block_frames), self._scheduler)

    def traced_decoder(self) -> TracedNetwork:
        return _SharedTraces(self._engine.traced_decoder(), self._scheduler)

    def quantizer(self) -> "_SharedQuantizer":
        return _SharedQuantizer(self._engine.quantizer(), self._scheduler)


class _SharedQuantizer:
    def __init__(self, quantizer: EngineQuantizer, scheduler: Scheduler[Any]) -> None:
        self._quantizer = quantizer
        self._scheduler = scheduler

    @property
    def books(self) -> Sequence[Rows]:
        return self._quantizer.books

    def encode(
        self, latents: Rows, n_q: int, beams: int, prices: Prices | None = None
    ) -> NDArray[np.uint16]:
        def together(items: list[Rows]) -> list[NDArray[np.uint16]]:
            codes = self._quantizer.encode(np.concatenate(items), n_q, beams)
            return _split(codes, [len(item) for item in items], axis=1)

        if prices is not None:
            return self._quantizer.encode(latents, n_q, beams, prices)
        codes: NDArray[np.uint16] = self._scheduler.call(
            ("quantize", n_q, beams), together, latents
        )
        return codes

    def decode(self, codes: NDArray[np.integer[Any]]) -> Rows:
        def together(items: list[NDArray[np.integer[Any]]]) -> list[Rows]:
            latents = self._quantizer.decode(np.concatenate(items, axis=1))
            return _split(latents, [item.shape[1] for item in items], axis=0)

        latents: Rows = self._scheduler.call(("dequantize", codes.shape[0]), together, codes)
        return latents


def _split(array: NDArray[Any], lengths: list[int], axis: int) -> list[NDArray[Any]]:
    return np.split(array, np.cumsum(lengths)[:-1], axis=axis)


class _SharedTraces:
    """Runs that are done where all others are, one after the other."""

    def __init__(self, network: TracedNetwork, scheduler: Scheduler[Any]) -> None:
        self._network = network
        self._scheduler = scheduler

    def traced(self, inputs: Rows, first: int) -> tuple[Rows, Back]:
        def run(items: list[Rows]) -> list[tuple[Rows, Back]]:
            return [self._network.traced(item, first) for item in items]

        outputs, back = self._scheduler.call(("trace", first), run, inputs)

        def back_there(gradient: Rows) -> Rows:
            found: Rows = self._scheduler.call(back, lambda items: [*map(back, items)], gradient)
            return found

        return outputs, back_there


class _SharedStepper:
    def __init__(self, stepper: Stepper, scheduler: Scheduler[Any]) -> None:
        self._stepper = stepper
        self._scheduler = scheduler

    def new_state(self) -> Any:
        return self._stepper.new_state()

    def step(self, inputs: list[Rows], states: list[Any], last: list[bool]) -> list[Rows]:
        items = zip(inputs, states, last, strict=True)
        return [self._scheduler.call(self._stepper, self._together, item) for item in items]

    def _together(self, items: list[tuple[Rows, Any, bool]]) -> list[Rows]:
        outputs = [item[0] for item in items]
        for group in _equal_blocks(items):
            chosen = [items[i] for i in group]
            found = self._stepper.step(*(list(part) for part in zip(*chosen, strict=True)))
            for i, rows in zip(group, found, strict=True):
                outputs[i] = rows
        return outputs


def _equal_blocks(items: list[tuple[Rows, Any, bool]]) -> list[list[int]]:
    """Which items may step together: equally long blocks, and ends that are no longer."""
    groups: dict[int, list[int]] = {}
    for i, (rows, _, last) in enumerate(items):
        if not last:
            groups.setdefault(rows.shape[0], []).append(i)
    longest = max(groups, default=0)
    for i, (rows, _, last) in enumerate(items):
        if last:
            groups.setdefault(longest if rows.shape[0] <= longest else -1, []).append(i)
    return list(groups.values())
