"""Tar archives of recordings, as WebDataset has them: members side by side make one item.

    talks/a.flac  talks/a.json  talks/a.txt     talks/b.flac  talks/b.json  ...

What an item is called is all before the first dot of the last part. `.json` holds columns, `.txt`
is the column `text`, other small text becomes a column of its suffix' name. Source of the
convention: the `webdataset` package.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

from encodec_cli.corpus.item import BadCorpusItem, CorpusItem
from encodec_cli.corpus.keys import key_of_name
from encodec_cli.corpus.lines import opened_plain
from encodec_cli.corpus.rows import said_seconds
from encodec_cli.errors import ContainerError
from encodec_cli.io.audio_data import AudioBytes, AudioData, AudioMember
from encodec_cli.io.columns import plain_columns
from encodec_cli.io.files import open_input
from encodec_cli.io.recordings import AUDIO_SUFFIXES
from encodec_cli.io.tar_members import Forward, tar_members
from encodec_cli.io.text import printable

__all__ = ["TAR_SUFFIXES", "read_tar"]

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")
_MOST_SIDECAR_BYTES = 1 << 18
_MOST_SIDECARS = 64
_MOST_PIPED_BYTES = 256 << 20
_AUDIO = AUDIO_SUFFIXES | {".ecdc"}


@dataclass
class _Group:
    """Members that have one name."""

    stem: str
    audio: list[tuple[str, AudioData]] = field(default_factory=list)
    columns: dict[str, Any] = field(default_factory=dict)
    problem: str = ""
    sidecars: int = 0


def read_tar(path: Path | Literal["-"]) -> Iterator[CorpusItem | BadCorpusItem]:
    """The items of an archive, in order, read once from its start to its end; "-" is a pipe.

    Recordings of an archive in a plain file are read from there when they are coded. Those of a
    packed one, or from a pipe, are held in memory, at most 256 MiB each.

    Raises:
        ContainerError: not a tar file, damaged or truncated; what came before was whole.
        EncodecCliError: see `open_input`.
    """
    name = "stdin" if path == "-" else path.name
    try:
        with _opened(path) as file:
            yield from _items(file, path, name)
    except ContainerError as error:
        raise error if str(error).startswith(f"{path}:") else error.about(path) from error


@contextmanager
def _opened(path: Path | Literal["-"]) -> Iterator[BinaryIO | Forward]:
    if path == "-":
        with open_input("-") as pipe:
            yield Forward(pipe)
        return
    with opened_plain(path) as file:
        yield file if file.seekable() else Forward(file)


def _items(
    file: BinaryIO | Forward, path: Path | Literal["-"], name: str
) -> Iterator[CorpusItem | BadCorpusItem]:
    group: _Group | None = None
    try:
        for member, size in tar_members(file):
            stem, extension = _split(member)
            if group is None or stem != group.stem:
                if group is not None:
                    yield from _group_items(group, name)
                group = _Group(stem)
            _add(group, file, path, member, size, extension)
    except ContainerError:
        if group is not None:
            group.problem = group.problem or "the archive is damaged in or behind it"
            yield from _group_items(group, name)
        raise
    if group is None:
        raise ContainerError("holds no files")
    yield from _group_items(group, name)


def _add(
    group: _Group,
    file: BinaryIO | Forward,
    path: Path | Literal["-"],
    member: str,
    size: int,
    extension: str,
) -> None:
    """Take a member into its group."""
    suffix = f".{extension.rpartition('.')[2]}"
    try:
        if suffix in _AUDIO:
            group.audio.append((extension, _audio(file, path, member, size)))
            return
        if size > _MOST_SIDECAR_BYTES:
            if suffix in (".json", ".txt"):
                raise ContainerError(
                    f"{suffix}: {size} bytes; at most {_MOST_SIDECAR_BYTES} are read"
                )
            return
        group.sidecars += 1
        if group.sidecars <= _MOST_SIDECARS:
            group.columns |= _columns(_read(file, size), extension)
    except ContainerError as error:
        group.problem = group.problem or str(error)


def _audio(
    file: BinaryIO | Forward, path: Path | Literal["-"], member: str, size: int
) -> AudioData:
    shown = printable(member)
    if not isinstance(file, Forward):
        return AudioMember(Path(path), shown, file.tell(), size)
    if size > _MOST_PIPED_BYTES:
        raise ContainerError(
            f"{size} bytes; at most {_MOST_PIPED_BYTES} are read from a pipe or a packed archive: "
            "give the archive as a plain .tar file"
        )
    name = "stdin" if path == "-" else str(path)
    return AudioBytes(f"{name}: {shown}", _read(file, size))


def _read(file: BinaryIO | Forward, size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise ContainerError("truncated: the archive ends in it")
    return data


def _columns(data: bytes, extension: str) -> dict[str, Any]:
    """What a sidecar says; nothing if it is no text."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        if extension in ("json", "txt"):
            raise ContainerError(f".{extension}: not UTF-8") from error
        return {}
    if "\0" in text:
        return {}
    if extension != "json":
        name = {"txt": "text"}.get(extension, extension)
        return {name: text.strip()} if name and name.isprintable() else {}
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ContainerError(f".json: damaged: {' '.join(str(error).split())[:120]}") from error
    return values if isinstance(values, dict) else {"json": values}


def _group_items(group: _Group, archive: str) -> Iterator[CorpusItem | BadCorpusItem]:
    """An item for each recording of a group; usually there is one."""
    problem, columns = group.problem, {}
    try:
        columns = plain_columns(group.columns)
    except ContainerError as error:
        problem = problem or str(error)
    if not group.audio or problem:
        yield BadCorpusItem(
            key=key_of_name(group.stem),
            source=printable(f"{archive}/{group.stem}"),
            reason=problem or "no audio among its files",
        )
        return
    for extension, audio in group.audio:
        rest = extension.rpartition(".")[0]
        yield CorpusItem(
            key=key_of_name(f"{group.stem}_{rest}" if rest else group.stem),
            audio=audio,
            source=printable(f"{archive}/{group.stem}.{extension}"),
            columns=columns,
            seconds=said_seconds(columns),
        )


def _split(name: str) -> tuple[str, str]:
    """Name of the item and extension."""
    folder, slash, base = name.rpartition("/")
    stem, _, extension = base.partition(".")
    return f"{folder}{slash}{stem}".removeprefix("./"), extension.lower()
