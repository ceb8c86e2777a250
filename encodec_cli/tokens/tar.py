"""Shards in the naming convention of WebDataset: plain tar, an item's members side by side.

    talks/a.codes.npy  talks/a.scales.npy  talks/a.json      talks/b.codes.npy  talks/b.json ...

The key is all before the first dot of the last part. Source of the convention: the `webdataset`
package, which reads these shards.
"""

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from encodec_cli.errors import ContainerError
from encodec_cli.io.tar_members import tar_members
from encodec_cli.tokens.columns import json_text
from encodec_cli.tokens.item import MAX_CODES, BadItem, TokenItem
from encodec_cli.tokens.npy import array_bytes, read_array
from encodec_cli.tokens.reading import loose_item
from encodec_cli.tokens.writing import Arrangement, row_of

__all__ = ["TarShard", "TarWriter", "read_tar", "tar_keys", "tar_parts"]

_MAX_JSON_BYTES = 5 << 20
_MAX_ARRAY_BYTES = 8 * MAX_CODES + (1 << 12)
_PARTS = {"codes.npy": "codes", "npy": "codes", "scales.npy": "scales", "json": "json"}


class TarShard:
    """Appends items to a tar file; `finish` must be called. Equal items give equal bytes."""

    def __init__(self, file: BinaryIO, arrangement: Arrangement) -> None:
        self._tar = TarWriter(file)
        self._arrangement = arrangement

    def add(self, item: TokenItem) -> None:
        row = row_of(item, self._arrangement)
        text = json_text(row.metadata | row.columns).encode()
        self._tar.write(f"{row.key}.codes.npy", array_bytes(row.codes))
        if row.scales is not None:
            self._tar.write(f"{row.key}.scales.npy", array_bytes(row.scales))
        self._tar.write(f"{row.key}.json", text)

    def finish(self) -> None:
        self._tar.finish()


class TarWriter:
    """Appends members to a plain tar file, all of one date and owner."""

    def __init__(self, file: BinaryIO) -> None:
        self._tar = tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT)  # noqa: SIM115

    def write(self, name: str, data: bytes) -> None:
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        self._tar.addfile(entry, io.BytesIO(data))

    def finish(self) -> None:
        self._tar.close()


def tar_keys(path: Path) -> list[str]:
    """Keys of the items in a shard, in order.

    Raises:
        ContainerError: not a tar file, or damaged.
    """
    with path.open("rb") as file:
        return list(dict.fromkeys(_split(name)[0] for name, _ in tar_members(file)))


def read_tar(path: Path) -> Iterator[TokenItem | BadItem]:
    """The items of a shard, in order; other members of theirs (audio, text) are passed over.

    Raises:
        ContainerError: not a tar file, or damaged so that what follows cannot be found.
    """
    for key, parts in tar_parts(path, _split):
        yield _item(key, parts)


def tar_parts(
    path: Path, split: Callable[[str], tuple[str, str]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Key and parts of each item: `codes`, `scales`, `json`, each read or why it cannot be.

    `split` makes key and extension of a member's name.

    Raises:
        ContainerError: see `read_tar`.
    """
    key: str | None = None
    parts: dict[str, Any] = {}
    with path.open("rb") as file:
        for name, size in tar_members(file):
            stem, extension = split(name)
            if stem != key:
                if key is not None:
                    yield key, parts
                key, parts = stem, {}
            part = _PARTS.get(extension)
            if part is not None:
                try:
                    parts[part] = _read(file, size, part)
                except ContainerError as error:
                    parts[part] = error
    if key is not None:
        yield key, parts


def _item(key: str, parts: dict[str, Any]) -> TokenItem | BadItem:
    try:
        for part in parts.values():
            if isinstance(part, ContainerError):
                raise part
        if "codes" not in parts:
            raise ContainerError("has no codes.npy")
        item = loose_item(key, parts["codes"], parts.get("scales"), parts.get("json", {}))
    except ContainerError as error:
        return BadItem(key, str(error))
    return item


def _read(file: BinaryIO, size: int, part: str) -> Any:
    limit = _MAX_JSON_BYTES if part == "json" else _MAX_ARRAY_BYTES
    if size > limit:
        raise ContainerError(f"{part}: {size} bytes; at most {limit} are read")
    data = file.read(size)
    if part != "json":
        return read_array(io.BytesIO(data), part)
    try:
        metadata = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ContainerError(f"json: damaged: {' '.join(str(error).split())[:120]}") from error
    if not isinstance(metadata, dict):
        raise ContainerError("json: not an object")
    return metadata


def _split(name: str) -> tuple[str, str]:
    """Key and extension."""
    folder, slash, base = name.rpartition("/")
    stem, _, extension = base.partition(".")
    return f"{folder}{slash}{stem}".removeprefix("./"), extension.lower()
