"""Options that say which recordings there are, and what each is called."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from encodec_cli.cli.batch import AUDIO_SUFFIXES, ECDC_SUFFIXES, Job
from encodec_cli.cli.completion import complete_files
from encodec_cli.cli.console import printable
from encodec_cli.errors import UsageError

__all__ = ["CorpusInputs", "is_ecdc", "keys_of", "source_name"]

CorpusInputs = Annotated[
    list[str],
    typer.Argument(
        metavar="IN...",
        help="Audio or .ecdc; folders with -r.",
        autocompletion=complete_files(AUDIO_SUFFIXES | ECDC_SUFFIXES),
    ),
]


def keys_of(jobs: Iterable[Job], output_dir: Path) -> dict[Job, str]:
    """A key for each job: where its output would lie in the folder, without dots.

    Raises:
        UsageError: two would have the same.
    """
    keys: dict[Job, str] = {}
    owner: dict[str, Job] = {}
    for job in jobs:
        assert isinstance(job.target, Path)
        relative = job.target.relative_to(output_dir).with_suffix("").as_posix()
        # WebDataset ends a key at the first dot.
        keys[job] = printable(relative).replace(".", "_").replace("\\", "_")
        other = owner.setdefault(keys[job], job)
        if other is not job:
            raise UsageError(
                f"{other.source} and {job.source} would both be named {keys[job]}; "
                "give them separately, or rename one"
            )
    return keys


def source_name(job: Job, output_dir: Path) -> str:
    """The input's path below the folder that was given, on one line."""
    assert isinstance(job.source, Path)
    assert isinstance(job.target, Path)
    folder = job.target.relative_to(output_dir).parent
    return printable((folder / job.source.name).as_posix())


def is_ecdc(job: Job) -> bool:
    """Whether there are codes already."""
    return isinstance(job.source, Path) and job.source.suffix.lower() in ECDC_SUFFIXES
