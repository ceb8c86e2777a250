"""Lists of recordings: CSV files with one line per recording."""

import csv
from collections.abc import Sequence
from pathlib import Path

from encodec_cli.errors import ConfigError

__all__ = ["read_manifest_rows"]


def read_manifest_rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The lines of a manifest by column; those in `columns` are there and not empty.

    Raises:
        ConfigError: missing, lists nothing, or lacks one of `columns`.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise ConfigError(f"{path}: cannot read: {error.strerror}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a manifest, which is a CSV file: {error}") from error
    for number, row in enumerate(rows, start=2):
        lacking = [column for column in columns if not row.get(column)]
        if lacking:
            raise ConfigError(
                f"{path}: not a manifest with {', '.join(columns)}: line {number} lacks "
                f"{', '.join(lacking)}"
            )
    if not rows:
        raise ConfigError(f"{path}: lists no recordings")
    return rows
