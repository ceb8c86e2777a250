"""Options that say where a run's work is done: all of it or a part, here or on a cluster."""

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from encodec_cli.cli.batch import Plan
from encodec_cli.cli.options import MACHINE, MANY, DTypeName
from encodec_cli.errors import UsageError
from encodec_cli.io.cores import usable_cores
from encodec_cli.io.shares import Share
from encodec_cli.model.device import check_device

if TYPE_CHECKING:
    from encodec_cli.pipeline.ray_running import RayWish

__all__ = ["Devices", "Part", "Ray", "RayWorkers", "Where", "part_of_plan", "where_of"]

Part = Annotated[
    str | None,
    typer.Option(
        "--part",
        metavar="I/N",
        help="Only part I of N, I from 1 on: for N runs side by side, that know nothing of each "
        "other (SLURM arrays).",
        rich_help_panel=MANY,
    ),
]
Ray = Annotated[
    bool,
    typer.Option(
        "--ray",
        help="On Ray: the cluster of RAY_ADDRESS, else one on this machine; needs the ray extra.",
        rich_help_panel=MACHINE,
    ),
]
RayWorkers = Annotated[
    int | None,
    typer.Option(
        "--ray-workers",
        min=1,
        max=10_000,
        metavar="N",
        help="Processes on the cluster that hold the model; one for each device or core that the "
        "cluster has unless given.",
        show_default=False,
        rich_help_panel=MACHINE,
    ),
]
Devices = Annotated[
    str,
    typer.Option(
        "--device",
        envvar="ENCODEC_CLI_DEVICE",
        help="cpu, cuda, cuda:1, mps, or auto: a GPU if there is one; several (cuda:0,1) have a "
        "process each, for many files.",
        rich_help_panel=MACHINE,
    ),
]

_PART = re.compile(r"(\d{1,6})/(\d{1,6})")
_MOST_DEVICES = 64


@dataclass(frozen=True)
class Where:
    """Where work is done.

    Attributes:
        share: of the work; None: all of it.
        devices: of this machine, or of each worker; one process each if there are several.
        given_threads: of the CPU; None: as many as there are cores.
        ray: on a cluster.
        workers: on the cluster; None: as many as it has room for.
    """

    share: Share | None
    devices: tuple[str, ...]
    given_threads: int | None
    ray: bool = False
    workers: int | None = None

    def wish(self) -> "RayWish":
        """What to ask of the cluster."""
        from encodec_cli.pipeline.ray_running import RayWish

        return RayWish(self.workers, self.given_threads, self.devices[0] != "cpu")

    @property
    def threads(self) -> int:
        """Of the CPU, for all processes of this machine together."""
        return self.given_threads or usable_cores()

    @property
    def here(self) -> bool:
        """Whether this process does the work."""
        return not self.ray and len(self.devices) == 1

    @property
    def threads_a_process(self) -> int:
        """Of the CPU, for each of the processes of several devices."""
        return max(1, self.threads // len(self.devices))

    @property
    def option(self) -> str:
        """How messages name the way that the work is done."""
        return "--ray" if self.ray else f"--device {','.join(self.devices)}"

    @property
    def own_device(self) -> str:
        """Where this process loads a model: it only asks for its config if others do the work."""
        return self.devices[0] if self.here else "cpu"

    def own_dtype(self, dtype: DTypeName) -> DTypeName:
        """In what this process loads it: `dtype` is for the devices that do the work."""
        return dtype if self.here else DTypeName.fp32


def where_of(
    part: str | None, device: str, threads: int | None, ray: bool, workers: int | None
) -> Where:
    """What the options say.

    Raises:
        UsageError: options that do not go together, or are not understood.
    """
    devices = _devices(device)
    if part is not None and ray:
        raise UsageError("give --part or --ray, not both: Ray shares out the work itself")
    if workers is not None and not ray:
        raise UsageError("--ray-workers: is for --ray")
    if ray and len(devices) > 1:
        raise UsageError("--device: name one for --ray; each worker gets a GPU of its own")
    return Where(_share(part), devices, threads, ray, workers)


def part_of_plan(plan: Plan, share: Share | None) -> Plan:
    """What of `plan` is in the share; what was left out of it is said by the first part only."""
    if share is None:
        return plan
    jobs = [job for number, job in enumerate(plan.jobs) if share.has(number)]
    if share.index == 1:
        return replace(plan, jobs=jobs)
    return replace(plan, jobs=jobs, clashes=[], not_taken={})


def _share(part: str | None) -> Share | None:
    if part is None:
        return None
    found = _PART.fullmatch(part.strip())
    if found is None:
        raise UsageError(f"--part {part[:20]}: give I/N, such as 1/8 to 8/8")
    try:
        return Share(int(found[1]), int(found[2]))
    except UsageError as error:
        raise UsageError(f"--{error}") from error


def _devices(text: str) -> tuple[str, ...]:
    """`cuda:0,1` is cuda:0 and cuda:1."""
    names: list[str] = []
    for word in text.split(","):
        kind = names[-1].partition(":")[0] if names else ""
        names.append(
            f"{kind}:{word.strip()}" if word.strip().isdecimal() and kind else word.strip()
        )
    if len(names) > _MOST_DEVICES:
        raise UsageError(f"--device: {len(names)} devices; give up to {_MOST_DEVICES}")
    for name in names:
        if name != "auto":
            check_device(name)
    return tuple(names)
