"""Recordings decoded once into one flat file: 16-bit mono at the model's rate.

audio.i16     all samples, recording after recording
index.json    where each recording is; its presence says that all is there
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encodec_cli.audio import open_audio, read_mono
from encodec_cli.errors import AudioError, ConfigError
from encodec_cli.io.manifest import read_manifest_rows
from encodec_cli.train.config import DataConfig

__all__ = ["Recording", "build_cache", "read_index", "read_manifest"]

_AT_ONCE = 64
"""Recordings in memory while the cache is made."""


@dataclass(frozen=True)
class Recording:
    """One row of a manifest; `start` and `samples` say where the cache holds it."""

    file: str
    kind: str
    source_rate: int
    start: int = 0
    samples: int = 0


def read_manifest(path: Path) -> list[Recording]:
    """Rows of a manifest.

    Raises:
        ConfigError: missing, or without the columns file and kind; without source_rate, a file that
            cannot be read.
    """
    rows = read_manifest_rows(path, ("file", "kind"))
    try:
        return [
            Recording(row["file"], row["kind"], int(row.get("source_rate") or _rate(path, row)))
            for row in rows
        ]
    except ValueError as error:
        raise ConfigError(f"{path}: not a manifest; source_rate is in Hz: {error}") from error


def _rate(manifest: Path, row: Mapping[str, str]) -> int:
    """Hz, of the file itself."""
    try:
        with open_audio(manifest.parent / row["file"]) as audio:
            return audio.sample_rate
    except AudioError as error:
        raise ConfigError(f"{manifest}: {error}") from error


def build_cache(config: DataConfig, sample_rate: int, progress: Callable[[int, int], None]) -> Path:
    """The folder of `audio.i16` and `index.json`, built if it is absent or incomplete."""
    manifest = Path(config.manifest)
    rows = read_manifest(manifest)
    digest = hashlib.sha256(manifest.read_bytes()).hexdigest()[:12]
    folder = Path(config.cache) / f"{digest}-{sample_rate}"
    if (folder / "index.json").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    index, position = [], 0
    with (folder / "audio.i16").open("wb") as file, ThreadPoolExecutor(os.cpu_count()) as pool:

        def read(row: Recording) -> NDArray[np.float32]:
            return read_mono(manifest.parent / row.file, sample_rate)

        for first in range(0, len(rows), _AT_ONCE):
            progress(first, len(rows))
            some = rows[first : first + _AT_ONCE]
            try:
                audio = list(pool.map(read, some))
            except AudioError as error:
                raise ConfigError(f"{manifest}: {error}") from error
            for row, x in zip(some, audio, strict=True):
                file.write(np.clip(np.rint(x * 32768), -32768, 32767).astype("<i2").tobytes())
                index.append(
                    asdict(Recording(row.file, row.kind, row.source_rate, position, len(x)))
                )
                position += len(x)
    temporary = folder / "index.json.partial"
    temporary.write_text(json.dumps(index), encoding="utf-8")
    temporary.replace(folder / "index.json")  # last: its presence says that all is there
    return folder


def read_index(folder: Path) -> list[Recording]:
    """The recordings of the cache in `folder`."""
    rows = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    return [Recording(**row) for row in rows]
