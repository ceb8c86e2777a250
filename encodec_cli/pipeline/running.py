"""Many jobs, each by itself, in threads or with their network steps in batches.

A thread takes the next job when it has done one; so threads stay busy however much the lengths
differ. Memory is bounded: so many jobs, a block or two each, and what is held back for the order.
"""

import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from functools import partial
from typing import TypeVar

from encodec_cli.model.codec import Codec
from encodec_cli.pipeline.reports import Progress
from encodec_cli.stream.batching import Outcome, run_together

__all__ = ["Outcome", "Watch", "Work", "in_order", "run_calls", "run_jobs"]

_Job = TypeVar("_Job")
_T = TypeVar("_T")
Work = Callable[[Codec, _Job, Progress], _T]
"""Does a job with the codec it is given, and calls `Progress` with every block."""
Watch = Callable[[int, float, float | None], None]
"""Called from any thread with a job's number, and what `Progress` is called with."""


class _Stopped(BaseException):
    """Unwinds the threads when whoever waited for them has gone."""


def run_jobs(
    codec: Codec,
    jobs: Iterable[_Job],
    work: Work[_Job, _T],
    *,
    threads: int,
    watch: Watch | None = None,
    ahead: int | None = None,
) -> Generator[Outcome[_T]]:
    """Do each job, whatever becomes of the others; yields what became of each, as they end.

    `watch` learns how far each job is. `jobs` are taken as they are begun, and none is begun that
    is `ahead` jobs after one that has not ended: so `in_order` holds back fewer than that.

    An engine that gains from it steps the networks of many jobs together; else each thread does a
    job by itself. To close the iterator stops the jobs at their next block.
    """
    streams = codec.engine.streams
    if streams > 1:
        together = (
            partial(_alone, work, job, _progress(watch, number)) for number, job in enumerate(jobs)
        )
        return run_together(codec, together, streams=streams, ahead=ahead)
    calls = (partial(work, codec, job) for job in jobs)
    return run_calls(calls, threads=threads, watch=watch, ahead=ahead)


def in_order(outcomes: Generator[Outcome[_T]]) -> Generator[Outcome[_T]]:
    """`outcomes` in the order of their jobs: one that comes early is held back."""
    held: dict[int, Outcome[_T]] = {}
    due = 0
    with closing(outcomes):
        for outcome in outcomes:
            held[outcome.job] = outcome
            while due in held:
                yield held.pop(due)
                due += 1


def _alone(work: Work[_Job, _T], job: _Job, progress: Progress, codec: Codec) -> _T:
    return work(codec, job, progress)


def _progress(watch: Watch | None, number: int) -> Progress:
    return partial(watch, number) if watch is not None else lambda done, total: None


def run_calls(
    calls: Iterable[Callable[[Progress], _T]],
    *,
    threads: int,
    watch: Watch | None = None,
    ahead: int | None = None,
) -> Generator[Outcome[_T]]:
    """Make each call in one of so many threads; see `run_jobs`."""
    stopping = threading.Event()

    def progress(number: int, done: float, total: float | None) -> None:
        if stopping.is_set():
            raise _Stopped
        if watch is not None:
            watch(number, done, total)

    waiting = iter(calls)
    begun = 0
    running: dict[Future[_T], int] = {}
    with ThreadPoolExecutor(max(1, threads)) as pool:
        try:
            while True:
                while len(running) < max(1, threads) and _may_begin(begun, running, ahead):
                    call = next(waiting, None)
                    if call is None:
                        break
                    running[pool.submit(call, partial(progress, begun))] = begun
                    begun += 1
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield _outcome(running.pop(future), future)
        finally:
            stopping.set()


def _may_begin(begun: int, running: dict[Future[_T], int], ahead: int | None) -> bool:
    return ahead is None or not running or begun - min(running.values()) < ahead


def _outcome(job: int, future: Future[_T]) -> Outcome[_T]:
    error = future.exception()
    if error is None:
        return Outcome(job, value=future.result())
    if isinstance(error, Exception):
        return Outcome(job, error=error)
    raise error
