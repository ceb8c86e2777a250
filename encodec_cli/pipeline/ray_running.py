"""Jobs on Ray: every worker loads its models once, and takes a job when it has done another.

    readers --jobs, one a block--> workers (actors) --results--> here, as they end

Ray Data streams: readers wait when workers fall behind. What a lost worker had begun is done again
by another, so work must bear to be done twice. Nothing here schedules anything.
"""

import importlib
import logging
import os
import pickle
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, TextIO, TypeVar, cast
from uuid import uuid4

from encodec_cli import __version__
from encodec_cli.errors import EncodecCliError, UsageError
from encodec_cli.io.cores import usable_cores
from encodec_cli.io.shares import Share

__all__ = ["RayWish", "run_on_ray"]

_J = TypeVar("_J")
_M = TypeVar("_M")
_R = TypeVar("_R")
_STORE_BYTES = 200 << 20
_SPARE_CPUS = 2
"""CPUs of a cluster on this machine beyond its workers': readers must have some, or all wait."""
_READER_CPUS = 0.5
_MOST_READERS = 8
_MOST_REASON = 300
_SENT = ("OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "OMP_WAIT_POLICY", "PYTHONPATH")
_QUIET: Mapping[str, str] = MappingProxyType(
    {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_BACKEND_LOG_LEVEL": "fatal",
        "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
        "RAY_DEDUP_LOGS": "0",  # what is held back would be said at the end, on standard output
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }
)


@dataclass(frozen=True)
class RayWish:
    """What to ask of the cluster.

    Attributes:
        workers: processes that hold models; None: one for each GPU, or core, that there is.
        threads: of each; None: the cores divided among them.
        gpu: whether each has a GPU, where there are any.
    """

    workers: int | None = None
    threads: int | None = None
    gpu: bool = True


@dataclass(frozen=True)
class _Room:
    """What each of the workers gets."""

    workers: int
    cpus: int
    gpus: int


def run_on_ray(
    loader: Callable[[], _M],
    read: Callable[[Share], Iterable[_J]],
    work: Callable[..., _R],
    wish: RayWish,
) -> Iterator[_R]:
    """`work(models, job, threads=n)` of what `loader` gives and a job; yields results as they come.

    `read` gives a share of the jobs; the cluster calls it for all shares. All of this is pickled.
    The cluster is that of RAY_ADDRESS, else one on this machine, which ends with the iterator.

    Raises:
        UsageError: Ray is not installed, or cannot be reached.
        Exception: what `work` or `read` raised first; jobs that were begun may still be done.
    """
    ray = _import_ray()
    with _cluster(ray, wish):
        room = _room(ray, wish)
        readers = min(_MOST_READERS, room.workers)
        shares = ray.data.range(readers, override_num_blocks=readers)
        here = str(Path.cwd())
        jobs = shares.flat_map(_Reader(read, readers, here), num_cpus=_READER_CPUS)
        results = jobs.map_batches(
            _Worker,
            fn_constructor_args=(loader, partial(work, threads=room.cpus), here, __version__),
            batch_size=1,
            batch_format="numpy",
            compute=ray.data.ActorPoolStrategy(size=room.workers),
            num_cpus=room.cpus,
            num_gpus=room.gpus,
        )
        try:
            for row in results.iter_rows():
                error, result = pickle.loads(row["result"])
                if error is not None:
                    raise error
                yield result
        except ray.exceptions.RayError as error:
            raise EncodecCliError(f"Ray has given up: {_reason(error)}") from error


@dataclass(frozen=True)
class _Reader:
    """Makes rows, a job each, of a row that names a share."""

    read: Callable[[Share], Iterable[Any]]
    of: int
    folder: str

    def __call__(self, row: dict[str, Any]) -> Iterator[dict[str, Any]]:
        _enter(self.folder)
        share = Share(int(row["id"]) + 1, self.of)
        try:
            for job in self.read(share):
                yield {"job": pickle.dumps((None, job))}
        except Exception as error:
            yield {"job": pickle.dumps((_as_ours(error), None))}


class _Worker:
    """Does jobs, with models that are loaded for the first one."""

    def __init__(
        self,
        loader: Callable[[], Any],
        work: Callable[[Any, Any], Any],
        folder: str,
        version: str,
    ) -> None:
        _enter(folder)
        self._models, self._work, self._version = loader(), work, version

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {"result": [pickle.dumps(self._answer(job)) for job in batch["job"]]}

    def _answer(self, packed: bytes) -> tuple[Exception | None, Any]:
        if self._version != __version__:
            return EncodecCliError(
                f"a worker of Ray has encodec-cli {__version__}, not {self._version}; install the "
                "same version on all machines"
            ), None
        unread, job = pickle.loads(packed)
        if unread is not None:
            return unread, None
        try:
            return None, self._work(self._models, job)
        except Exception as error:
            return _as_ours(error), None


def _enter(folder: str) -> None:
    """Work in the folder of whoever began the run, where relative names lead, if it is there."""
    with suppress(OSError):
        os.chdir(folder)


def _as_ours(error: Exception) -> EncodecCliError:
    if isinstance(error, EncodecCliError):
        return error
    return EncodecCliError(f"{type(error).__name__}: {error}")


def _import_ray() -> Any:
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        ray = importlib.import_module("ray")
        importlib.import_module("ray.data")
    except ImportError as error:
        raise UsageError(
            "Ray is not installed; run: pip install 'ray[data]'; or leave out --ray"
        ) from error
    return ray


@contextmanager
def _cluster(ray: Any, wish: RayWish) -> Iterator[None]:
    sent = {name: os.environ[name] for name in _SENT if name in os.environ}
    common = {
        "runtime_env": {"env_vars": sent},
        "log_to_driver": False,
        "logging_level": logging.ERROR,
    }
    try:
        if os.environ.get("RAY_ADDRESS"):
            ray.init(**common)
        else:
            # Else Ray keeps a token in the home folder, for which clusters begun there later ask.
            os.environ.setdefault("RAY_AUTH_TOKEN", uuid4().hex)
            cpus = max(usable_cores(), (wish.workers or 1) * (wish.threads or 1))
            ray.init(
                num_cpus=cpus + _SPARE_CPUS,
                include_dashboard=False,
                object_store_memory=_STORE_BYTES,
                **common,
            )
    except Exception as error:  # Ray raises of many kinds, plain ones among them
        raise UsageError(f"Ray cannot be reached or started: {_reason(error)}") from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    # A block is a job: else one worker would get all jobs of a reader.
    context.target_min_block_size = context.target_max_block_size = 1
    try:
        with redirect_stdout(cast(TextIO, _OwnThread(sys.stdout))):
            yield
    finally:
        with redirect_stdout(sys.stderr):
            ray.shutdown()


def _reason(error: Exception) -> str:
    """What Ray says is wrong, on one line; of the tracebacks in its messages the last line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    has_traceback = any("Traceback (most recent call last)" in line for line in lines)
    return " ".join(lines[-1:] if has_traceback else lines)[:_MOST_REASON]


class _OwnThread:
    """Standard output for the thread that made this; what others print goes to standard error.

    Ray tells of lost workers on standard output, from a thread of its own.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream, self._thread = stream, threading.get_ident()

    def write(self, text: str) -> int:
        own = threading.get_ident() == self._thread
        stream = self._stream if own else sys.stderr
        return 0 if stream is None else stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _room(ray: Any, wish: RayWish) -> _Room:
    there = ray.cluster_resources()
    gpus = int(there.get("GPU", 0)) if wish.gpu else 0
    spare = 1 if os.environ.get("RAY_ADDRESS") else _SPARE_CPUS
    cpus = max(1, int(there.get("CPU", 1)) - spare)
    workers = wish.workers or gpus or max(1, cpus // (wish.threads or 1))
    return _Room(workers, wish.threads or max(1, cpus // workers), 1 if gpus else 0)
