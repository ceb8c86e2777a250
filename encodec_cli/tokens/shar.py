"""Shards as lhotse's Shar has them: cuts, and beside them their codes in the same order.

    cuts.00000.jsonl.gz    a line a recording: {"id": KEY, "duration": ..., "custom": {...}, ...}
    codes.00000.tar        KEY.npy, and KEY.json, which says that it is a TemporalArray

Codes are [T, K]: lhotse cuts arrays along their first axis. A cut is as long as its codes, whose
last frame may reach beyond the recording; `num_samples` in `custom` is the recording's length.
Source of the layout: `SharWriter` and `LazySharIterator` of lhotse 1.33, which reads these shards.
"""

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from encodec_cli.errors import ContainerError
from encodec_cli.io.limits import unpacked_limit
from encodec_cli.tokens.columns import json_text
from encodec_cli.tokens.item import BadItem, TokenItem
from encodec_cli.tokens.npy import array_bytes
from encodec_cli.tokens.reading import loose_item
from encodec_cli.tokens.tar import TarWriter, tar_parts
from encodec_cli.tokens.writing import Arrangement, Row, row_of

__all__ = ["SharShard", "cuts_beside", "read_shar", "shar_keys"]

_CODES_NAME = re.compile(r"codes\.(.+)\.tar")
_SAID = ("text", "speaker", "language", "gender")
_MOST_LINE = 10 << 20


class SharShard:
    """Appends items to a file of cuts and one of their codes; `finish` must be called.

    Equal items give equal bytes.
    """

    def __init__(self, cuts: BinaryIO, codes: BinaryIO, arrangement: Arrangement) -> None:
        """`arrangement` has the layout "TK"."""
        self._cuts = gzip.GzipFile("", "wb", fileobj=cuts, mtime=0)
        self._codes = TarWriter(codes)
        self._arrangement = arrangement

    def add(self, item: TokenItem) -> None:
        row = row_of(item, self._arrangement)
        array = _array(row)
        line = json_text(_cut(row, array)).encode() + b"\n"
        self._codes.write(f"{row.key}.npy", array_bytes(row.codes))
        self._codes.write(f"{row.key}.json", json_text(array).encode())
        self._cuts.write(line)

    def finish(self) -> None:
        self._codes.finish()
        self._cuts.close()


def cuts_beside(path: Path) -> Path | None:
    """The file of cuts whose codes `path` has, if both are named so and it is there."""
    found = _CODES_NAME.fullmatch(path.name)
    cuts = None if found is None else path.with_name(f"cuts.{found[1]}.jsonl.gz")
    return cuts if cuts is not None and cuts.is_file() else None


def shar_keys(cuts: Path) -> list[str]:
    """Keys of the items in a shard, in order.

    Raises:
        ContainerError: see `read_shar`.
    """
    return [str(cut.get("id")) for cut in _read_cuts(cuts)]


def read_shar(codes: Path, cuts: Path) -> Iterator[TokenItem | BadItem]:
    """The items of a shard, in order.

    Raises:
        ContainerError: damaged, or not the codes of these cuts.
    """
    lines = _read_cuts(cuts)
    for key, parts in tar_parts(codes, _split):
        cut = next(lines, None)
        if cut is None or cut.get("id") != key:
            raise ContainerError(f"{key}: {cuts.name} has another cut in its place, or none")
        try:
            yield _item(key, parts, cut)
        except ContainerError as error:
            yield BadItem(key, str(error))
    if next(lines, None) is not None:
        raise ContainerError(f"{cuts.name} has more cuts than there are codes")


def _array(row: Row) -> dict[str, Any]:
    """What lhotse calls a TemporalArray, a placeholder for the codes in the other file."""
    frame_rate = row.metadata.get("frame_rate")
    if frame_rate is None:
        raise ContainerError("Shar needs a frame rate; sample_rate and hop are not known")
    where = {"storage_type": "shar", "storage_path": "", "storage_key": ""}
    array = {**where, "shape": list(row.codes.shape)}
    return {"array": array, "temporal_dim": 0, "frame_shift": 1 / float(frame_rate), "start": 0}


def _cut(row: Row, array: dict[str, Any]) -> dict[str, Any]:
    recording = _recording(row)
    duration = recording["duration"]
    # lhotse takes objects among custom values for manifests.
    columns = {n: json_text(v) if isinstance(v, dict) else v for n, v in row.columns.items()}
    custom = {**row.metadata, **{n: v for n, v in columns.items() if v is not None}}
    if row.scales is not None:
        custom["scales"] = row.scales.tolist()
    said = {n: columns[n] for n in _SAID if isinstance(columns.get(n), str)}
    channels = recording["channel_ids"]
    many = len(channels) > 1
    part = {"start": 0, "duration": duration, "channel": channels if many else 0}
    supervision = {"id": row.key, "recording_id": row.key, **part, **said}
    return {
        "id": row.key,
        **part,
        "supervisions": [supervision] if "text" in said else [],
        "recording": recording,
        "custom": {**custom, "codes": array},
        "type": "MultiCut" if many else "MonoCut",
    }


def _recording(row: Row) -> dict[str, Any]:
    """What lhotse calls a Recording, of audio that lies elsewhere; cuts need its rate."""
    rate, hop = int(row.metadata["sample_rate"]), int(row.metadata["hop"])
    channels = list(range(int(row.metadata.get("channels", 1))))
    samples = len(row.codes) * hop
    return {
        "id": row.key,
        "sources": [{"type": "shar", "channels": channels, "source": ""}],
        "sampling_rate": rate,
        "num_samples": samples,
        "duration": samples / rate,
        "channel_ids": channels,
    }


def _read_cuts(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a file of cuts, whatever it unpacks to within limits."""
    left = unpacked_limit(path.stat().st_size)
    try:
        with gzip.open(path, "rb") as file:
            while line := file.readline(_MOST_LINE + 1):
                left -= len(line)
                if len(line) > _MOST_LINE or left < 0:
                    raise ContainerError(f"{path.name}: unpacks to more than cuts of codes do")
                cut = json.loads(line)
                if not isinstance(cut, dict):
                    raise ContainerError(f"{path.name}: a line that is no object")
                yield cut
    except (OSError, EOFError, zlib.error, ValueError, RecursionError) as error:
        why = " ".join(str(error).split())[:120]
        raise ContainerError(f"{path.name}: not a readable file of cuts: {why}") from error


def _item(key: str, parts: dict[str, Any], cut: dict[str, Any]) -> TokenItem:
    for part in parts.values():
        if isinstance(part, ContainerError):
            raise part
    if "codes" not in parts:
        raise ContainerError("has no array of codes")
    metadata = cut.get("custom")
    if not isinstance(metadata, dict):
        metadata = {}
    if "codes_arrangement" not in metadata and parts.get("json", {}).get("temporal_dim") == 0:
        metadata = {**metadata, "codes_arrangement": "layout=TK"}  # of another program
    return loose_item(key, parts["codes"], _scales(metadata), metadata)


def _scales(metadata: dict[str, Any]) -> NDArray[np.float32] | None:
    scales = metadata.get("scales") if "n_q" in metadata else None
    if scales is None:
        return None
    if not isinstance(scales, list) or not all(isinstance(x, float) for x in scales):
        raise ContainerError("scales: not a list of numbers")
    with np.errstate(over="ignore"):
        return np.array(scales, np.float64).astype(np.float32)


def _split(name: str) -> tuple[str, str]:
    """Key and extension; a key may have dots."""
    stem, _, extension = name.rpartition(".")
    return stem.removeprefix("./"), extension
