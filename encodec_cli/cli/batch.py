"""Which file goes where."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from encodec_cli.errors import UsageError
from encodec_cli.io.files import check_writable
from encodec_cli.io.folders import Found, files_in, search_folder
from encodec_cli.io.recordings import AUDIO_SUFFIXES, is_recording

__all__ = [
    "AUDIO_SUFFIXES",
    "ECDC_SUFFIXES",
    "FAILURES_NAME",
    "TOKEN_SUFFIXES",
    "Clash",
    "Job",
    "Kinds",
    "Plan",
    "check_targets",
    "files_in",
    "inputs_in",
    "plan_jobs",
    "to_do",
]

Place = Path | Literal["-"]

ECDC_SUFFIXES = frozenset({".ecdc"})
TOKEN_SUFFIXES = frozenset({".jsonl", ".npy", ".npz", ".parquet", ".safetensors", ".tar"})
FAILURES_NAME = "failures.jsonl"
"""What `tokens` writes beside tokens, of recordings that could not be coded."""
_STANDARD_INPUT = frozenset({"-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"})
_STANDARD_OUTPUT = frozenset({"-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"})


@dataclass(frozen=True)
class Job:
    """One input and where its output goes."""

    source: Place
    target: Place


@dataclass(frozen=True)
class Clash:
    """Inputs that would all become `target`."""

    target: Path
    sources: tuple[Path, ...]


@dataclass(frozen=True)
class Kinds:
    """Suffixes of what a command takes from folders, and of what it makes of it.

    With `keep_suffix` an output keeps the suffix of its input before its own: `talk.mp3.ecdc`.
    Files in folders whose name is one of `passed_over` are not taken.
    """

    inputs: frozenset[str]
    output: str
    keep_suffix: bool = False
    passed_over: frozenset[str] = frozenset()

    def name_of(self, source: Path) -> str:
        """The name of the output of `source`."""
        return f"{source.name if self.keep_suffix else source.stem}{self.output}"


@dataclass(frozen=True)
class Plan:
    """What a run is to do.

    Attributes:
        jobs: what to do, in order.
        clashes: inputs left out because their outputs would have one name.
        not_taken: files in folders that may hold sound, but cannot be read; and why.
        many: whether folders were searched or several files named.
    """

    jobs: list[Job]
    clashes: list[Clash] = field(default_factory=list)
    not_taken: dict[Path, str] = field(default_factory=dict)
    many: bool = False


def plan_jobs(
    arguments: list[str], kinds: Kinds, *, output_dir: Path | None, recursive: bool
) -> Plan:
    """Jobs for `IN [OUT]`, or for `IN...` with an output folder or folders to search.

    An existing folder as the last of several arguments is the output folder, as for `cp`.

    Raises:
        UsageError: arguments that do not go together, or nothing to do.
    """
    if output_dir is None and not recursive:
        last = Path(arguments[-1])
        if len(arguments) == 1 or not _is_folder(last):
            return Plan([_single(arguments, kinds)])
        arguments, output_dir = arguments[:-1], last
    if output_dir is not None and not output_dir.is_dir() and _names_a_file(output_dir):
        raise UsageError(
            f"{output_dir}: --output-dir is a folder; to name the output of one input, "
            f"write it after the input, without -o"
        )
    jobs: list[Job] = []
    found = Found()
    searched = False
    for argument in arguments:
        if argument in _STANDARD_INPUT:
            raise UsageError(
                "-: standard input has no name to give its output; save it as a file first"
            )
        path = Path(argument)
        if not path.is_dir():
            folder = path.parent if output_dir is None else output_dir
            jobs.append(Job(path, folder / kinds.name_of(path)))
            continue
        searched = True
        inside = search_folder(path, kinds.inputs, recursive=recursive)
        found.not_taken |= inside.not_taken
        for file in inside.files:
            if file.name in kinds.passed_over:
                continue
            folder = file.parent
            if output_dir is not None:
                folder = output_dir / file.parent.relative_to(path)
            jobs.append(Job(file, folder / kinds.name_of(file)))
    if not jobs and not found.not_taken:
        raise UsageError(f"no {', '.join(sorted(kinds.inputs))} files found")
    jobs = list(dict.fromkeys(jobs))  # a file named twice is done once
    jobs, clashes = _without_clashes(jobs)
    many = searched or len(jobs) + sum(len(clash.sources) for clash in clashes) > 1
    return Plan(jobs, clashes, found.not_taken, many)


def inputs_in(arguments: list[str], suffixes: frozenset[str], *, recursive: bool) -> list[Job]:
    """Jobs without outputs: files that are named, those with `suffixes` in folders, or stdin.

    Raises:
        UsageError: nothing found, or a folder without `recursive`.
    """
    sources: list[Place] = []
    for argument in arguments:
        path = Path(argument)
        if argument in _STANDARD_INPUT:
            sources.append("-")
        elif _is_folder(path):
            sources += files_in(path, suffixes, recursive=recursive)
        else:
            sources.append(path)
    if not sources:
        raise UsageError(f"no {', '.join(sorted(suffixes))} files found")
    return [Job(source, "-") for source in sources]


def _without_clashes(jobs: Iterable[Job]) -> tuple[list[Job], list[Clash]]:
    sources: dict[Place, list[Job]] = {}
    for job in jobs:
        sources.setdefault(job.target, []).append(job)
    alone = [group[0] for group in sources.values() if len(group) == 1]
    clashes = [
        Clash(target, tuple(Path(job.source) for job in group))
        for target, group in sources.items()
        if len(group) > 1 and isinstance(target, Path)
    ]
    return alone, clashes


def check_targets(
    jobs: Sequence[Job], *, force: bool, skip_existing: bool, makes_folders: bool, json: bool
) -> None:
    """Refuse, before a model is loaded, options that do not go together or a lone taken target.

    Raises:
        UsageError, OutputError: what is wrong.
    """
    if force and skip_existing:
        raise UsageError("give --force or --skip-existing, not both")
    if json and any(job.target == "-" for job in jobs):
        raise UsageError("--json and the output both want stdout; name an output file")
    # Of many, each is refused in its turn.
    if len(jobs) != 1 or skip_existing or makes_folders:
        return
    if isinstance(jobs[0].target, Path):
        check_writable(jobs[0].target, force=force)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that is too long: whoever uses it says so
        return False


def _names_a_file(path: Path) -> bool:
    return path.suffix.lower() in AUDIO_SUFFIXES | ECDC_SUFFIXES | TOKEN_SUFFIXES


def _single(arguments: list[str], kinds: Kinds) -> Job:
    if len(arguments) > 2:
        raise UsageError("several inputs need --output-dir (or --recursive for folders)")
    source: Place = "-" if arguments[0] in _STANDARD_INPUT else Path(arguments[0])
    if isinstance(source, Path) and source.is_dir():
        search_folder(source, kinds.inputs, recursive=False)
    if len(arguments) == 2:
        return Job(source, _named_target(arguments[1], kinds))
    if source == "-":
        return Job("-", "-")
    if source.suffix.lower() == kinds.output and not kinds.keep_suffix:
        raise UsageError(f"{source}: {_already(source)}")
    return Job(source, source.with_name(kinds.name_of(source)))


def _named_target(argument: str, kinds: Kinds) -> Place:
    if argument in _STANDARD_OUTPUT:
        return "-"
    if argument.endswith("/"):  # a folder that is there was taken for one before
        raise UsageError(
            f"{argument}: no such folder; create it first (mkdir), or name it with --output-dir, "
            "which makes it"
        )
    target = Path(argument)
    if target.suffix.lower() in kinds.inputs - {kinds.output}:
        raise UsageError(f"{target}: is named like an input; several inputs need --output-dir")
    return target


def _already(source: Path) -> str:
    """Why a lone `source` that is named like an output is refused."""
    if _begins_like_ecdc(source):
        return (
            "is coded already (.ecdc); `decode` makes audio of it, `peel` lowers its bandwidth, "
            "`info` tells what it holds"
        )
    if is_recording(source) and source.is_file():
        return "is audio already; `encode` makes .ecdc of it"
    return f"ends in {source.suffix} already; name OUT if it is an input"


def _begins_like_ecdc(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == b"ECDC"
    except OSError:
        return False


def to_do(jobs: Sequence[Job], *, skip_existing: bool) -> Iterator[tuple[Job, bool]]:
    """Each job, and whether its target is there already and the job is to be skipped.

    A target that is there counts as done: targets appear only when complete.
    """
    for job in jobs:
        there = isinstance(job.target, Path) and skip_existing and job.target.is_file()
        yield job, there
