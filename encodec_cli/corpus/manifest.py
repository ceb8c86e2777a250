"""Tables of recordings in text: JSON Lines, CSV, TSV; also packed with gzip.

file --lines--> rows --row_item--> CorpusItem
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from encodec_cli.corpus.item import BadCorpusItem, CorpusItem
from encodec_cli.corpus.keys import key_of_path
from encodec_cli.corpus.lhotse import Recordings, lhotse_item, lhotse_kind
from encodec_cli.corpus.lines import Line, lines_of, opened_plain
from encodec_cli.corpus.rows import PATH_COLUMNS, Places, row_item, row_key
from encodec_cli.errors import ContainerError, EncodecCliError
from encodec_cli.io.columns import check_names
from encodec_cli.io.text import printable

__all__ = ["Row", "read_manifest", "read_recordings", "read_rows", "sorted_manifests"]


_JSON_SUFFIXES = frozenset({".json", ".jsonl", ".ndjson"})


class Row(NamedTuple):
    """What a line says, or None and what is wrong with it."""

    line: int
    values: Mapping[str, Any] | None
    problem: str = ""


def read_manifest(
    path: Path, root: Path | None, recordings: Recordings
) -> Iterator[CorpusItem | BadCorpusItem]:
    """The items that the lines of a manifest name, in order.

    A relative name is that of a file in the folder `root`; without it, beside the manifest, or
    else in the working folder. `recordings` are those that supervisions of lhotse's are parts of.

    Raises:
        ContainerError: not a manifest, or damaged; `path` is named.
    """
    places = Places(path.parent, root)
    for row in read_rows(path):
        yield _item(row, path, places, recordings)


def _item(
    row: Row, path: Path, places: Places, recordings: Recordings
) -> CorpusItem | BadCorpusItem:
    problem, key, values = row.problem, None, row.values
    if values is not None:
        try:
            key = row_key(values)
            is_plain = any(values.get(name) for name in PATH_COLUMNS)
            if is_plain or lhotse_kind(values) is None:
                return row_item(values, places)
            return lhotse_item(values, places, recordings)
        except (ContainerError, RecursionError) as error:
            problem = str(error)
    return _bad(path, row.line, problem, key)


def _bad(path: Path, line: int, reason: str, key: str | None = None) -> BadCorpusItem:
    key = key or f"{key_of_path(path.name)}-line-{line}"
    return BadCorpusItem(key=key, source=printable(f"{path}, line {line}"), reason=reason)


def sorted_manifests(manifests: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Those of `manifests` that list items, and lists of recordings that these are parts of.

    Lists of recordings list items unless there are supervisions. Where none is among the
    manifests, it is looked for beside the supervisions, named as lhotse names it.
    """
    kinds = {path: _kind_of(path) for path in dict.fromkeys(manifests)}
    supervisions = [path for path, kind in kinds.items() if kind == "supervision"]
    if not supervisions:
        return list(kinds), []
    lists = [path for path, kind in kinds.items() if kind == "recording"]
    if not lists:
        beside = [p.with_name(p.name.replace("supervisions", "recordings")) for p in supervisions]
        lists = [path for path in beside if path not in supervisions and path.is_file()]
    return [path for path in kinds if path not in lists], lists


def read_recordings(path: Path, recordings: Recordings) -> Iterator[BadCorpusItem]:
    """Fill `recordings` from a list; yields the rows that are none.

    Raises:
        ContainerError: not a manifest, or damaged; `path` is named.
    """
    for row in read_rows(path):
        if row.values is not None and lhotse_kind(row.values) == "recording":
            recordings.add(row.values)
        else:
            yield _bad(path, row.line, row.problem or "not a recording of lhotse's")


def _kind_of(path: Path) -> str | None:
    """What the first row of a manifest is, of lhotse's."""
    try:
        first = next(read_rows(path), None)
    except EncodecCliError:  # whoever reads it says what is wrong
        return None
    if first is None or first.values is None:
        return None
    return lhotse_kind(first.values)


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a manifest, in order.

    Raises:
        ContainerError: not a manifest, or damaged; `path` is named.
    """
    try:
        with opened_plain(path) as file:
            found = False
            for row in _rows(file, path.name):
                found = True
                yield row
        if not found:
            raise ContainerError("lists no recordings")
    except ContainerError as error:
        raise error if str(error).startswith(f"{path}:") else error.about(path) from error


def _rows(file: BinaryIO, name: str) -> Iterator[Row]:
    """The rows of a file: JSON Lines if it is named so, or begins so; else a table."""
    lines = lines_of(file)
    first = next(lines, None)
    if first is None:
        return
    text = (first.text or "").lstrip()
    if text.startswith("["):
        raise ContainerError("is one JSON array; write one object a line (JSON Lines)")
    named = any(suffix in _JSON_SUFFIXES for suffix in Path(name.lower()).suffixes[-2:])
    if named or text.startswith("{") or first.text is None:
        yield _json_row(first)
        yield from map(_json_row, lines)
        return
    yield from _table(first, lines)


def _json_row(line: Line) -> Row:
    if line.text is None:
        return Row(line.number, None, line.problem)
    try:
        values = json.loads(line.text)
    except (ValueError, RecursionError) as error:
        return Row(line.number, None, f"not JSON: {' '.join(str(error).split())[:120]}")
    if not isinstance(values, dict):
        return Row(line.number, None, "not a JSON object")
    return Row(line.number, values)


def _table(header: Line, lines: Iterator[Line]) -> Iterator[Row]:
    """Rows of CSV, or of TSV, which knows no quotes."""
    text = header.text or ""
    is_tsv = "\t" in text
    names = text.split("\t") if is_tsv else next(csv.reader([text]))
    check_names([name.strip() for name in names])
    names = [name.strip() for name in names]
    for number, cells, problem in _tsv(lines) if is_tsv else _csv(lines):
        if cells is not None and len(cells) != len(names):
            problem = f"{len(cells)} columns, but the first line has {len(names)}"
            cells = None
        yield Row(number, None if cells is None else dict(zip(names, cells, strict=True)), problem)


def _tsv(lines: Iterator[Line]) -> Iterator[tuple[int, list[str] | None, str]]:
    for line in lines:
        yield line.number, None if line.text is None else line.text.split("\t"), line.problem


def _csv(lines: Iterator[Line]) -> Iterator[tuple[int, list[str] | None, str]]:
    """Cells of each row, which may hold ends of lines in quotes."""
    taken: list[Line] = []

    def texts() -> Iterator[str]:
        for line in lines:
            taken.append(line)
            yield "" if line.text is None else f"{line.text}\n"

    reader = csv.reader(texts())
    while True:
        taken.clear()
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield taken[0].number, None, f"not CSV: {error}"
            continue
        if cells is None:
            return
        problem = next((line.problem for line in taken if line.text is None), "")
        yield taken[0].number, None if problem else cells, problem
