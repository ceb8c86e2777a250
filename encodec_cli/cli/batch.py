"""Which file goes where."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from encodec_cli.cli.console import say
from encodec_cli.errors import UsageError
from encodec_cli.io.files import check_writable
from encodec_cli.io.recordings import AUDIO_SUFFIXES, is_recording

__all__ = [
    "AUDIO_SUFFIXES",
    "ECDC_SUFFIXES",
    "TOKEN_SUFFIXES",
    "Job",
    "check_targets",
    "files_in",
    "plan_jobs",
    "to_do",
]

Place = Path | Literal["-"]

ECDC_SUFFIXES = frozenset({".ecdc"})
TOKEN_SUFFIXES = frozenset({".jsonl", ".npy", ".npz", ".parquet", ".safetensors", ".tar"})


@dataclass(frozen=True)
class Job:
    """One input and where its output goes."""

    source: Place
    target: Place


def plan_jobs(
    arguments: list[str],
    *,
    output_dir: Path | None,
    recursive: bool,
    from_suffixes: frozenset[str],
    to_suffix: str,
) -> list[Job]:
    """Jobs for `IN [OUT]`, or for `IN...` with an output folder or folders to search.

    Raises:
        UsageError: arguments that do not go together, or two inputs with one output.
    """
    many = output_dir is not None or recursive
    if not many:
        return [_single(arguments, from_suffixes, to_suffix)]
    if output_dir is not None and not output_dir.is_dir() and _names_a_file(output_dir):
        raise UsageError(
            f"{output_dir}: --output-dir is a folder; to name the output of one input, "
            f"write it after the input, without -o"
        )
    jobs = []
    for argument in arguments:
        if argument == "-":
            raise UsageError(
                "-: standard input has no name to give its output; save it as a file first"
            )
        path = Path(argument)
        if not path.is_dir():
            folder = path.parent if output_dir is None else output_dir
            jobs.append(Job(path, folder / f"{path.stem}{to_suffix}"))
            continue
        for file in files_in(path, from_suffixes, recursive=recursive):
            folder = file.parent
            if output_dir is not None:
                folder = output_dir / file.parent.relative_to(path)
            jobs.append(Job(file, folder / f"{file.stem}{to_suffix}"))
    if not jobs:
        raise UsageError(f"no {', '.join(sorted(from_suffixes))} files found")
    jobs = list(dict.fromkeys(jobs))  # a file named twice is done once
    seen: dict[Place, Place] = {}
    for job in jobs:
        other = seen.setdefault(job.target, job.source)
        if other != job.source:
            raise UsageError(
                f"{other} and {job.source} would both become {job.target}; "
                "give them separately, or rename one"
            )
    return jobs


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
    job = jobs[0]
    if len(jobs) == 1 and isinstance(job.target, Path) and not skip_existing and not makes_folders:
        check_writable(job.target, force=force)


def _names_a_file(path: Path) -> bool:
    return path.suffix.lower() in AUDIO_SUFFIXES | ECDC_SUFFIXES | TOKEN_SUFFIXES


def files_in(folder: Path, suffixes: frozenset[str], *, recursive: bool) -> list[Path]:
    """Files with one of `suffixes` in `folder`, at any depth, sorted.

    Where these are the suffixes of audio, a file of another name that begins like audio is taken
    too, and AppleDouble files (`._x.wav`) are not.

    Raises:
        UsageError: nobody said `recursive`.
    """
    if not recursive:
        raise UsageError(f"{folder}: is a folder; add --recursive to take the files in it")
    others = suffixes - AUDIO_SUFFIXES
    audio = suffixes >= AUDIO_SUFFIXES
    return [
        file
        for file in sorted(folder.rglob("*"))
        if file.is_file() and (file.suffix.lower() in others or (audio and is_recording(file)))
    ]


def _single(arguments: list[str], from_suffixes: frozenset[str], to_suffix: str) -> Job:
    if len(arguments) > 2:
        raise UsageError("several inputs need --output-dir (or --recursive for folders)")
    source: Place = "-" if arguments[0] == "-" else Path(arguments[0])
    if isinstance(source, Path) and source.is_dir():
        files_in(source, from_suffixes, recursive=False)
    if len(arguments) == 2:
        target: Place = "-" if arguments[1] == "-" else Path(arguments[1])
        if isinstance(target, Path) and target.suffix.lower() in from_suffixes:
            raise UsageError(f"{target}: is named like an input; several inputs need --output-dir")
        return Job(source, target)
    if source == "-":
        return Job("-", "-")
    if source.suffix.lower() == to_suffix:
        raise UsageError(f"{source}: ends in {to_suffix} already; name OUT if it is an input")
    return Job(source, source.with_suffix(to_suffix))


def to_do(jobs: Sequence[Job], *, skip_existing: bool, quiet: bool) -> Iterator[Job]:
    """The jobs whose targets are not there yet, or all unless `skip_existing`.

    A target that is there counts as done: targets appear only when complete.
    """
    for job in jobs:
        if isinstance(job.target, Path) and skip_existing and job.target.is_file():
            if not quiet:
                say(f"{job.target}: exists, skipped")
        else:
            yield job
