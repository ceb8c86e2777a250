"""Options that say which recordings there are."""

from typing import Annotated

import typer

from encodec_cli.cli.batch import AUDIO_SUFFIXES, ECDC_SUFFIXES
from encodec_cli.cli.completion import complete_files

__all__ = ["CorpusInputs"]

CorpusInputs = Annotated[
    list[str],
    typer.Argument(
        metavar="IN...",
        help="Audio or .ecdc; folders with -r.",
        autocompletion=complete_files(AUDIO_SUFFIXES | ECDC_SUFFIXES),
    ),
]
