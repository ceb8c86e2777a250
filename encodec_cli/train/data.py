"""Recordings decoded once into one flat file, and random crops of them.

The cache is 16-bit mono at the model's rate, memory-mapped: hours of audio cost no memory that
the system cannot take back, and drawing a crop is a copy of one second.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encodec_cli.audio import read_mono
from encodec_cli.errors import AudioError, ConfigError
from encodec_cli.manifest import read_manifest_rows
from encodec_cli.train.config import DataConfig

__all__ = ["Corpus", "Recording", "read_manifest"]


_MOST_DRAWS = 10_000


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
        ConfigError: missing, or without the columns file, kind, source_rate.
    """
    rows = read_manifest_rows(path, ("file", "kind", "source_rate"))
    try:
        return [Recording(row["file"], row["kind"], int(row["source_rate"])) for row in rows]
    except ValueError as error:
        raise ConfigError(f"{path}: not a manifest; source_rate is in Hz: {error}") from error


class Corpus:
    """Draws crops from the recordings of a manifest at `sample_rate` Hz."""

    def __init__(
        self,
        config: DataConfig,
        sample_rate: int,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self.config = config
        self.crop = round(config.crop_seconds * sample_rate)
        folder = _build_cache(config, sample_rate, progress)
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        recordings = [Recording(**row) for row in index]
        self._audio = np.memmap(folder / "audio.i16", dtype="<i2", mode="r")
        self._kinds: list[tuple[float, list[Recording], NDArray[np.float64]]] = []
        for kind, weight in config.weights.items():
            members = [r for r in recordings if r.kind == kind and r.samples]
            if weight > 0 and not members:
                raise ConfigError(f"{config.manifest}: has no recordings of kind {kind!r}")
            if weight > 0:
                shares = np.array([self._share(r, sample_rate) for r in members], dtype=float)
                if not shares.sum() > 0:
                    raise ConfigError(
                        f"{config.manifest}: all recordings of kind {kind!r} are narrow, "
                        "and narrow_weight is 0"
                    )
                self._kinds.append((weight, members, shares / shares.sum()))
        self._weights = np.array([weight for weight, _, _ in self._kinds])
        self._weights /= self._weights.sum()

    def _share(self, recording: Recording, sample_rate: int) -> float:
        narrow = recording.source_rate < sample_rate
        return recording.samples * (self.config.narrow_weight if narrow else 1.0)

    def batch(self, size: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """`size` crops `[size, 1, N]` and their RMS levels `[size]`."""
        crops = np.stack([self._augmented(rng) for _ in range(size)])
        x = torch.from_numpy(crops)[:, None]
        return x, x.pow(2).mean(dim=(1, 2)).sqrt().clamp(min=1e-5)

    def _augmented(self, rng: np.random.Generator) -> NDArray[np.float32]:
        x = self._loud_crop(rng)
        if rng.random() < self.config.mix_probability:
            other_db = rng.uniform(-20.0, 0.0)
            x = x + self._loud_crop(rng) * np.float32(10 ** (other_db / 20))
            x /= np.sqrt(np.mean(x**2))
        level_db = rng.normal(self.config.level_db, self.config.level_jitter_db)
        x *= np.float32(10 ** (level_db / 20))
        peak = np.abs(x).max()
        return x if peak < 0.99 else x * np.float32(0.99 / peak)

    def _loud_crop(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """A crop of unit RMS that is not silence."""
        floor = 10 ** (self.config.silence_db / 20)
        for _ in range(_MOST_DRAWS):
            _, members, shares = self._kinds[rng.choice(len(self._kinds), p=self._weights)]
            recording = members[rng.choice(len(members), p=shares)]
            offset = int(rng.integers(max(1, recording.samples - self.crop + 1)))
            start = recording.start + offset
            length = min(self.crop, recording.samples - offset)
            x: NDArray[np.float32] = np.zeros(self.crop, dtype=np.float32)
            x[:length] = self._audio[start : start + length] / np.float32(32768)
            rms = np.sqrt(np.mean(x**2))
            if rms > floor:
                x /= rms
                return x
        raise ConfigError(
            f"{self.config.manifest}: {_MOST_DRAWS} crops in a row are below "
            f"silence_db: {self.config.silence_db}; are the recordings silent?"
        )


def _build_cache(
    config: DataConfig, sample_rate: int, progress: Callable[[int, int], None]
) -> Path:
    """Folder with `audio.i16` and `index.json`; built if absent, complete or not there at all."""
    manifest = Path(config.manifest)
    rows = read_manifest(manifest)
    digest = hashlib.sha256(manifest.read_bytes()).hexdigest()[:12]
    folder = Path(config.cache) / f"{digest}-{sample_rate}"
    if (folder / "index.json").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    index, position = [], 0
    with (folder / "audio.i16").open("wb") as file:
        for done, row in enumerate(rows):
            progress(done, len(rows))
            try:
                x = read_mono(manifest.parent / row.file, sample_rate)
            except AudioError as error:
                raise ConfigError(f"{manifest}: {error}") from error
            file.write(np.clip(np.rint(x * 32768), -32768, 32767).astype("<i2").tobytes())
            index.append(asdict(Recording(row.file, row.kind, row.source_rate, position, len(x))))
            position += len(x)
    temporary = folder / "index.json.partial"
    temporary.write_text(json.dumps(index), encoding="utf-8")
    temporary.replace(folder / "index.json")  # last: its presence says that all is there
    return folder
