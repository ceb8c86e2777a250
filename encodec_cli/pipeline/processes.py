"""Jobs in processes of this machine, one for each device, each with models of its own.

jobs --one at a time--> process of cuda:0 --.
     --one at a time--> process of cuda:1 ---> results, as they end
"""

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from multiprocessing.connection import Connection, wait
from types import FrameType
from typing import Any, Generic, TypeVar

from encodec_cli.errors import EncodecCliError
from encodec_cli.pipeline.reports import Progress
from encodec_cli.pipeline.running import Outcome, run_calls

__all__ = ["run_in_processes"]

_M = TypeVar("_M")
_J = TypeVar("_J")
_R = TypeVar("_R")
_TRIES = 2
_LOOK_SECONDS = 0.2
_PATIENCE_SECONDS = 10.0


def run_in_processes(
    loaders: Sequence[Callable[[], _M]],
    jobs: Iterable[_J],
    work: Callable[[_M, _J], _R],
) -> Iterator[Outcome[_R]]:
    """`work` of what a loader gives and a job, in a process for each loader.

    All of it is pickled. Jobs are taken as they are begun. A process that dies is replaced, and its
    job done once more; work must bear that. To close the iterator ends the processes.

    Yields what became of each job, as they end; `EncodecCliError` where a process died twice.
    """
    free: queue.SimpleQueue[_Worker[_J, _R]] = queue.SimpleQueue()
    with ExitStack() as stack:
        for loader in loaders:
            worker: _Worker[_J, _R] = _Worker(partial(_serve, loader, work))
            stack.callback(worker.end)
            free.put(worker)
        calls = (partial(_ask, free, job) for job in jobs)
        yield from run_calls(calls, threads=len(loaders))


def _ask(free: "queue.SimpleQueue[_Worker[_J, _R]]", job: _J, progress: Progress) -> _R:
    worker = free.get()
    try:
        return worker.do(job, progress)
    finally:
        free.put(worker)


class _Worker(Generic[_J, _R]):
    """A process that serves, and its replacement if it dies."""

    def __init__(self, serve: Callable[[Connection], None]) -> None:
        self._serve = serve
        self._begin()

    def _begin(self) -> None:
        # A fork would take over locks and threads of this process as they happen to be.
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=self._serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def do(self, job: _J, progress: Progress) -> _R:
        """The result of a job; `progress` is called while it is waited for, and may raise.

        Raises:
            Exception: what it raised there; `EncodecCliError` if the process died of it.
        """
        for _ in range(_TRIES):
            try:
                self._connection.send(job)
                while not self._connection.poll(_LOOK_SECONDS):
                    progress(0.0, None)
                error, result = self._connection.recv()
            except (EOFError, OSError):
                self._process.join()
                code = self._process.exitcode
                self._begin()
                continue
            if error is not None:
                raise error
            return result  # type: ignore[no-any-return]
        raise EncodecCliError(
            f"a process that codes has died {_TRIES} times (exit code {code}), for want of memory "
            "perhaps; run it again, it goes on where it was"
        )

    def end(self) -> None:
        """End the process, whatever it does; it has some time to clean up."""
        self._connection.close()
        self._process.terminate()
        self._process.join(_PATIENCE_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _serve(loader: Callable[[], Any], work: Callable[[Any, Any], Any], link: Connection) -> None:
    """What the process does until its link is closed, or whoever began it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is theirs who began us
    signal.signal(signal.SIGTERM, _leave)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    models = loader()
    while True:
        try:
            job = link.recv()
        except (EOFError, OSError):
            return
        answer: tuple[EncodecCliError | None, Any]
        try:
            answer = (None, work(models, job))
        except EncodecCliError as error:
            answer = (error, None)
        except Exception as error:
            answer = (EncodecCliError(f"{type(error).__name__}: {error}"), None)
        link.send(answer)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
