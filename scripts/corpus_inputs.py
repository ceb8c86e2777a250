"""A corpus in every form that `tokens` reads, made from a folder of recordings.

`INPUTS` has a maker for each form; it writes into a folder of its own, and returns the arguments of
`tokens` that name what it wrote. Items have the same keys in all forms: names below the folder,
without suffix. Each has the text `text_of(key)` where the form has room for one.
"""

import csv
import gzip
import io
import json
import tarfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import soundfile

__all__ = ["INPUTS", "TEXTLESS", "Recording", "recordings_in", "text_of"]

ITEMS_A_FILE = 500
ITEMS_A_GROUP = 100


@dataclass(frozen=True)
class Recording:
    """A file below `root`; `samples` at `rate` Hz of each of `channels`."""

    root: Path
    name: str
    rate: int
    channels: int
    samples: int

    @property
    def key(self) -> str:
        """What `tokens` is to call it."""
        return self.name.rpartition(".")[0]

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.root / self.name

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.samples / self.rate


def recordings_in(root: Path) -> list[Recording]:
    """All that libsndfile opens, in the order of their names."""
    found = []
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() in (".opus", ".ogg", ".flac", ".wav"):
            about = soundfile.info(path)
            name = str(path.relative_to(root))
            found.append(Recording(root, name, about.samplerate, about.channels, about.frames))
    return found


def text_of(key: str) -> str:
    """The text of an item."""
    return f"what is said in {key}, „hier“"


def folder(items: Sequence[Recording], place: Path) -> list[str]:
    """Links to the recordings."""
    for item in items:
        link = place / "audio" / item.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(item.path)
    return [str(place / "audio"), "-r"]


def nemo(items: Sequence[Recording], place: Path) -> list[str]:
    """NeMo's manifest, with names below the root."""
    rows = [
        {"audio_filepath": item.name, "duration": item.seconds, "text": text_of(item.key)}
        for item in items
    ]
    write_lines(place / "manifest.json", rows)
    return ["--manifest", str(place / "manifest.json"), "--audio-root", str(items[0].root)]


def json_lines(items: Sequence[Recording], place: Path) -> list[str]:
    """Names of its own, packed with gzip, absolute paths, no lengths."""
    rows = [
        {"id": item.key, "audio_path": str(item.path), "text": text_of(item.key)} for item in items
    ]
    write_lines(place / "list.jsonl.gz", rows)
    return ["--manifest", str(place / "list.jsonl.gz")]


def table(delimiter: str) -> Callable[[Sequence[Recording], Path], list[str]]:
    """CSV or TSV with a line of names."""

    def write(items: Sequence[Recording], place: Path) -> list[str]:
        path = place / "list.txt"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter=delimiter)
            writer.writerow(["path", "text"])
            writer.writerows([item.name, text_of(item.key)] for item in items)
        return ["--manifest", str(path), "--audio-root", str(items[0].root)]

    return write


def lhotse_recordings(items: Sequence[Recording], place: Path) -> list[str]:
    """A list of recordings by itself."""
    write_lines(place / "recordings.jsonl.gz", [recording_of(item) for item in items])
    return ["--manifest", str(place / "recordings.jsonl.gz")]


def lhotse_cuts(items: Sequence[Recording], place: Path) -> list[str]:
    """A cut of the whole of each recording, with a supervision; as lhotse itself writes them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package's own
        import lhotse

        recordings = (lhotse.Recording.from_dict(recording_of(item)) for item in items)
        cuts = []
        for item, recording in zip(items, recordings, strict=True):
            cut = recording.to_cut()
            said = lhotse.SupervisionSegment(
                id=item.key,
                recording_id=item.key,
                start=0,
                duration=cut.duration,
                channel=cut.channel,
                text=text_of(item.key),
            )
            cuts.append(cut.with_id(item.key))
            cuts[-1].supervisions = [said]
        lhotse.CutSet.from_cuts(cuts).to_file(place / "cuts.jsonl.gz")
    return ["--manifest", str(place / "cuts.jsonl.gz")]


def recording_of(item: Recording) -> dict[str, Any]:
    """As lhotse describes it."""
    channels = list(range(item.channels))
    return {
        "id": item.key,
        "sources": [{"type": "file", "channels": channels, "source": str(item.path)}],
        "sampling_rate": item.rate,
        "num_samples": item.samples,
        "duration": item.seconds,
        "channel_ids": channels,
    }


def webdataset(items: Sequence[Recording], place: Path) -> list[str]:
    """Archives with recordings, and their texts beside them."""
    paths = [tar_of(some, place / f"{n:04}.tar") for n, some in enumerate(groups(items))]
    return [str(path) for path in paths]


def tar_of(items: Sequence[Recording], path: Path) -> Path:
    """One archive."""
    with tarfile.open(path, "w") as tar:
        for item in items:
            tar.add(item.path.resolve(), item.name)
            said = json.dumps({"text": text_of(item.key)}).encode()
            entry = tarfile.TarInfo(f"{item.key}.json")
            entry.size = len(said)
            tar.addfile(entry, io.BytesIO(said))
    return path


def parquet(items: Sequence[Recording], place: Path) -> list[str]:
    """Tables with the recordings in them, in a folder `data` as on the Hub."""
    import pyarrow
    import pyarrow.parquet

    (place / "data").mkdir()
    for number, some in enumerate(groups(items)):
        rows = [
            {
                "id": item.key,
                "audio": {"bytes": item.path.read_bytes(), "path": Path(item.name).name},
                "text": text_of(item.key),
            }
            for item in some
        ]
        path = place / "data" / f"train-{number:05}.parquet"
        made = pyarrow.Table.from_pylist(rows)
        pyarrow.parquet.write_table(made, path, row_group_size=ITEMS_A_GROUP)
    return [str(place)]


def dataset(items: Sequence[Recording], place: Path) -> list[str]:
    """What `datasets` saves of those tables."""
    (place / "tables").mkdir()
    parquet(items, place / "tables")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import datasets

        datasets.disable_progress_bars()
        files = [str(path) for path in sorted((place / "tables" / "data").iterdir())]
        cache = str(place / "cache")
        datasets.Dataset.from_parquet(files, cache_dir=cache).save_to_disk(place / "saved")
    return [str(place / "saved")]


def groups(items: Sequence[Recording]) -> Iterator[Sequence[Recording]]:
    """As many as go into a file."""
    for first in range(0, len(items), ITEMS_A_FILE):
        yield items[first : first + ITEMS_A_FILE]


def write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """JSON Lines."""
    data = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


INPUTS: Mapping[str, Callable[[Sequence[Recording], Path], list[str]]] = {
    "folder": folder,
    "nemo": nemo,
    "jsonl.gz": json_lines,
    "csv": table(","),
    "tsv": table("\t"),
    "recordings": lhotse_recordings,
    "cuts": lhotse_cuts,
    "webdataset": webdataset,
    "parquet": parquet,
    "dataset": dataset,
}
TEXTLESS = frozenset({"folder", "recordings"})
"""Forms without room for a text."""
