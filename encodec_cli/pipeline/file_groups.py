"""Jobs of one file each elsewhere, in groups: in a process for each device, or on Ray.

jobs --groups that follow each other--> workers, each does those of a group side by side
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from encodec_cli.io.shares import Share
from encodec_cli.pipeline.processes import run_in_processes
from encodec_cli.pipeline.ray_running import RayWish, run_on_ray
from encodec_cli.pipeline.running import Outcome, Work, run_jobs
from encodec_cli.pipeline.shard_jobs import Models

__all__ = ["run_files_in_processes", "run_files_on_ray"]

_J = TypeVar("_J")
_T = TypeVar("_T")
_MOST_TOGETHER = 64
_GROUPS_ON_RAY = 32
_GROUPS_A_PROCESS = 4
"""A process that has done its own takes another's: at the end few wait long."""


def run_files_in_processes(
    loaders: Sequence[Callable[[], Models]],
    jobs: Sequence[_J],
    work: Work[_J, _T],
    *,
    threads: int,
) -> Iterator[Outcome[_T]]:
    """Do each job with the codec of a loader, in a process for each loader with so many threads.

    Jobs and `work` are pickled. What a process that died had begun is done again: jobs must bear
    that. Yields what became of each, as their groups end.
    """
    groups = _Groups(tuple(jobs), _size(len(jobs), _GROUPS_A_PROCESS * len(loaders)))
    all_groups = list(groups(Share(1, 1)))
    do = partial(_do_group, work, threads=threads)
    for found in run_in_processes(loaders, all_groups, do):
        group = all_groups[found.job]
        if found.error is None:
            yield from found.result()
        else:
            numbers = range(group.first, group.first + len(group.jobs))
            yield from (Outcome(number, error=found.error) for number in numbers)


def run_files_on_ray(
    loader: Callable[[], Models], jobs: Sequence[_J], work: Work[_J, _T], wish: RayWish
) -> Iterator[Outcome[_T]]:
    """Do each job with the codec of `loader()`, by workers of Ray; see `run_files_in_processes`.

    Raises:
        UsageError, EncodecCliError: see `run_on_ray`.
    """
    groups = _Groups(tuple(jobs), _size(len(jobs), _GROUPS_ON_RAY))
    for outcomes in run_on_ray(loader, groups, partial(_do_group, work), wish):
        yield from outcomes


def _size(jobs: int, groups: int) -> int:
    return max(1, min(_MOST_TOGETHER, jobs // groups))


@dataclass(frozen=True)
class _Group(Generic[_J]):
    """Jobs that follow each other, and the number of the first."""

    first: int
    jobs: tuple[_J, ...]


@dataclass(frozen=True)
class _Groups(Generic[_J]):
    """Cuts jobs into groups; a call gives a share of these."""

    jobs: tuple[_J, ...]
    size: int

    def __call__(self, share: Share) -> Iterator[_Group[_J]]:
        for number, first in enumerate(range(0, len(self.jobs), self.size)):
            if share.has(number):
                yield _Group(first, self.jobs[first : first + self.size])


def _do_group(
    work: Work[_J, _T], models: Models, group: _Group[_J], *, threads: int
) -> list[Outcome[_T]]:
    found = run_jobs(models.codec, group.jobs, work, threads=threads)
    return [Outcome(group.first + each.job, each.value, each.error) for each in found]
