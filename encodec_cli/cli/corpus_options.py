"""Options that say which recordings there are."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from encodec_cli.cli.batch import AUDIO_SUFFIXES, ECDC_SUFFIXES
from encodec_cli.cli.completion import complete_files
from encodec_cli.errors import UsageError

if TYPE_CHECKING:
    from encodec_cli.corpus import Corpus

__all__ = ["AudioRoot", "CorpusInputs", "Manifests", "corpus_of"]

_INPUTS = AUDIO_SUFFIXES | ECDC_SUFFIXES | {".gz", ".parquet", ".tar", ".tgz"}
_MANIFESTS = frozenset({".csv", ".gz", ".json", ".jsonl", ".ndjson", ".tsv"})

CorpusInputs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[IN...]",
        help="Audio, .ecdc, tar archives of audio (- is one on stdin), Parquet files, saved data "
        "sets; folders with -r.",
        autocompletion=complete_files(_INPUTS),
    ),
]
Manifests = Annotated[
    list[Path] | None,
    typer.Option(
        "--manifest",
        metavar="FILE",
        help="Recordings that a file lists: JSON Lines of NeMo, lhotse and others, CSV, TSV; also "
        ".gz. Give it again for more.",
        autocompletion=complete_files(_MANIFESTS),
    ),
]
AudioRoot = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Where relative names in manifests lead; the manifest's folder unless given.",
    ),
]


def corpus_of(
    inputs: list[str] | None,
    manifests: list[Path] | None,
    audio_root: Path | None,
    *,
    recursive: bool,
    keep_suffix: bool,
) -> "Corpus":
    """What the options name.

    Raises:
        UsageError: nothing, or a folder that is none.
    """
    from encodec_cli.corpus import Corpus

    if not inputs and not manifests:
        raise UsageError("name recordings: IN..., or --manifest FILE")
    if audio_root is not None and not manifests:
        raise UsageError("--audio-root: is for --manifest")
    if audio_root is not None and not audio_root.is_dir():
        raise UsageError(f"--audio-root {audio_root}: is no folder")
    return Corpus(
        inputs=tuple(inputs or ()),
        manifests=tuple(manifests or ()),
        recursive=recursive,
        keep_suffix=keep_suffix,
        audio_root=audio_root,
    )
