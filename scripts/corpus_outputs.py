"""What `tokens` wrote, as the library reads it that each format is for."""

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

__all__ = ["OUTPUTS", "Read", "read_output"]


class Read(NamedTuple):
    """An item: its name, codes [K, T], and text if it has one."""

    key: str
    codes: Any
    text: str | None


def read_output(to: str, place: Path) -> list[Read]:
    """All items in a folder of format `to`, in the order that the library gives."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the libraries' own
        return [
            Read(key, np.asarray(codes, np.int64), text) for key, codes, text in OUTPUTS[to](place)
        ]


def npz(place: Path) -> Iterator[tuple[str, Any, str | None]]:
    """numpy."""
    for path in sorted(place.rglob("*.npz")):
        with np.load(path, allow_pickle=False) as arrays:
            text = arrays["text"].item() if "text" in arrays else None
            yield key_of(path, place), arrays["codes"], text


def safetensors(place: Path) -> Iterator[tuple[str, Any, str | None]]:
    """safetensors."""
    from safetensors import safe_open

    for path in sorted(place.rglob("*.safetensors")):
        with safe_open(path, framework="numpy") as file:
            yield key_of(path, place), file.get_tensor("codes"), file.metadata().get("text")


def key_of(path: Path, place: Path) -> str:
    """The name of a file's item."""
    return str(path.relative_to(place).with_suffix(""))


def parquet(place: Path) -> Iterator[tuple[str, Any, str | None]]:
    """datasets."""
    import datasets

    datasets.disable_progress_bars()
    files = sorted(map(str, place.glob("tokens-*.parquet")))
    table = datasets.load_dataset(
        "parquet", data_files=files, split="train", cache_dir=str(place.with_name("cache"))
    )
    for row in table:
        yield row["key"], row["codes"], row.get("text")


def webdataset(place: Path) -> Iterator[tuple[str, Any, str | None]]:
    """webdataset."""
    import webdataset

    shards = sorted(map(str, place.glob("tokens-*.tar")))
    for sample in webdataset.WebDataset(shards, shardshuffle=False).decode():
        yield sample["__key__"], sample["codes.npy"], sample["json"].get("text")


def jsonl(place: Path) -> Iterator[tuple[str, Any, str | None]]:
    """json."""
    for path in sorted(place.glob("tokens-*.jsonl")):
        with path.open(encoding="utf-8") as file:
            for line in file:
                row = json.loads(line)
                yield row["key"], row["codes"], row.get("text")


def shar(place: Path) -> Iterator[tuple[str, Any, str | None]]:
    """lhotse."""
    import lhotse

    for cut in lhotse.CutSet.from_shar(in_dir=place / "shar"):
        text = cut.supervisions[0].text if cut.supervisions else None
        yield cut.id, cut.load_codes().T, text


OUTPUTS: Mapping[str, Callable[[Path], Iterator[tuple[str, Any, str | None]]]] = {
    "webdataset": webdataset,
    "parquet": parquet,
    "jsonl": jsonl,
    "shar": shar,
    "npz": npz,
    "safetensors": safetensors,
}
