"""Where Hugging Face's tools put weights: cache folders of links, shards with an index.

models--org--name/refs/main                   the name of a snapshot
models--org--name/snapshots/NAME/config.json  links into blobs
model-00001-of-00002.safetensors              a shard of model.safetensors.index.json
"""

import re
from pathlib import Path

from encodec_cli.errors import CheckpointError
from encodec_cli.io.text import shown

__all__ = ["INDEX_SUFFIX", "weights_place"]

INDEX_SUFFIX = ".index.json"
_MOST_NAME = 200
_SNAPSHOT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SHARD = re.compile(r"(.+)-\d{5}-of-(\d{5})\.(safetensors|bin)")


def weights_place(path: Path) -> Path:
    """The folder or file that `path` stands for: of a cache its snapshot, of a shard its index.

    Raises:
        CheckpointError: the cache has several snapshots and names none; a shard has no index.
    """
    if (path / "snapshots").is_dir():
        return _snapshot(path)
    match = _SHARD.fullmatch(path.name)
    if match is None or not path.is_file():
        return path
    index = path.with_name(f"{match[1]}.{match[3]}{INDEX_SUFFIX}")
    if not index.is_file():
        raise CheckpointError(
            f"{path}: one of {int(match[2])} files that hold a model together; put their list "
            f"{index.name} beside them"
        )
    return index


def _snapshot(cache: Path) -> Path:
    snapshots = cache / "snapshots"
    try:
        with (cache / "refs" / "main").open("rb") as file:
            name = file.read(_MOST_NAME).decode("ascii", "replace").strip()
    except OSError:
        name = ""
    if name:
        if not _SNAPSHOT.fullmatch(name) or not (snapshots / name).is_dir():
            raise CheckpointError(
                f"{cache}: refs/main names {shown(name)}, which is not among its snapshots; "
                "download the model again"
            )
        return snapshots / name
    found = sorted(entry for entry in snapshots.iterdir() if entry.is_dir())
    if len(found) != 1:
        some = ", ".join(shown(str(entry.name)) for entry in found[:3]) or "none"
        raise CheckpointError(
            f"{cache}: a cache folder of {len(found)} snapshots ({some}) whose refs/main is "
            "missing; name one of them"
        )
    return found[0]
