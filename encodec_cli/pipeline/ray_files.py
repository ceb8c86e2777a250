"""Jobs of one file each on Ray, in groups: a worker does those of a group side by side."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from encodec_cli.io.shares import Share
from encodec_cli.model.codec import Codec
from encodec_cli.pipeline.ray_running import RayWish, run_on_ray
from encodec_cli.pipeline.reports import Progress
from encodec_cli.pipeline.running import Outcome, Work, run_jobs
from encodec_cli.pipeline.shard_jobs import Models

__all__ = ["code_file", "run_files_on_ray"]

_J = TypeVar("_J")
_T = TypeVar("_T")
_MOST_TOGETHER = 64
_GROUPS = 32


def code_file(codec: Codec, job: Any, progress: Progress) -> Any:
    """Do a job of `pipeline.jobs`."""
    return job.run(codec, lm=None, threads=1, progress=progress)


def run_files_on_ray(
    loader: Callable[[], Models], jobs: Sequence[_J], work: Work[_J, _T], wish: RayWish
) -> Iterator[Outcome[_T]]:
    """Do each job with the codec of `loader()`, whatever becomes of the others.

    Jobs and `work` are pickled. What a lost worker had begun is done again: jobs must bear that.
    Yields what became of each, as their groups end.

    Raises:
        UsageError, EncodecCliError: see `run_on_ray`.
    """
    size = max(1, min(_MOST_TOGETHER, len(jobs) // _GROUPS))
    groups = _Groups(tuple(jobs), size)
    for outcomes in run_on_ray(loader, groups, partial(_do_group, work), wish):
        yield from outcomes


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
