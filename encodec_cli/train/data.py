"""Random crops of a corpus, drawn on the host and cut out where the network runs.

On a GPU the whole corpus lies in its memory (16 bits a sample: an hour at 24 kHz takes 173 MB), and
a batch costs the host a few dozen numbers. On the CPU it is a memory map, so hours of audio cost
no memory that the system cannot take back. Either way one gather makes a batch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encodec_cli.errors import ConfigError
from encodec_cli.train.augment import augment, resample_to
from encodec_cli.train.cache import Recording, build_cache, read_index
from encodec_cli.train.config import DataConfig

__all__ = ["Corpus"]


_MOST_DRAWS = 10_000
_ENERGY_BLOCK = 240


@dataclass(frozen=True)
class _Kind:
    """Recordings of one kind; `ends` is the cumulative distribution they are drawn from."""

    members: list[Recording]
    ends: NDArray[np.float64]

    def draw(self, rng: np.random.Generator) -> Recording:
        return self.members[int(np.searchsorted(self.ends, rng.random(), side="right"))]


class Corpus:
    """Draws crops from the recordings of a manifest at `sample_rate` Hz, onto `device`."""

    def __init__(
        self,
        config: DataConfig,
        sample_rate: int,
        progress: Callable[[int, int], None] = lambda done, total: None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.config = config
        self.sample_rate = sample_rate
        self.crop = round(config.crop_seconds * sample_rate)
        folder = build_cache(config, sample_rate, progress)
        recordings = read_index(folder)
        samples = sum(r.samples for r in recordings)
        audio = torch.from_file(str(folder / "audio.i16"), size=samples, dtype=torch.int16)
        self._energy = _cumulative_energy(audio)
        self._audio = audio.to(device)
        lengths: dict[str, float] = {}
        for recording in recordings:
            lengths[recording.kind] = lengths.get(recording.kind, 0) + recording.samples
        kinds = {k: share for k, share in (config.weights or lengths).items() if share > 0}
        self._kinds = [self._kind(kind, recordings) for kind in kinds]
        self._ends = _distribution(list(kinds.values()))

    def _kind(self, kind: str, recordings: list[Recording]) -> _Kind:
        members = [r for r in recordings if r.kind == kind and r.samples]
        if not members:
            raise ConfigError(f"{self.config.manifest}: has no recordings of kind {kind!r}")
        narrow = self.config.narrow_weight
        shares = [
            r.samples * (narrow if r.source_rate < self.sample_rate else 1.0) for r in members
        ]
        if not sum(shares) > 0:
            raise ConfigError(
                f"{self.config.manifest}: all recordings of kind {kind!r} are narrow, "
                "and narrow_weight is 0"
            )
        return _Kind(members, _distribution(shares))

    def batch(self, size: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """`size` crops `[size, 1, N]` and their RMS levels `[size]`.

        Augmentations also draw from torch's random generator.

        Raises:
            ConfigError: the corpus is silent.
        """
        c = self.config
        speed = 1.0
        if rng.random() < c.augment.speed:
            speed = float(np.exp(rng.uniform(-1, 1) * np.log(c.augment.fastest)))
        # In hundredths: lengths that repeat, so that their Fourier transforms are planned once.
        length = self.crop * round(100 * speed) // 100
        mixed = np.flatnonzero(rng.random(size) < c.mix_probability)
        x = self._cut([self._draw(rng, length) for _ in range(size + len(mixed))], length)
        x = resample_to(_at_unit_level(x), self.crop)
        mix_db = rng.uniform(-20.0, 0.0, len(mixed))
        x, others = x[:size], x[size:] * self._gain(mix_db)[:, None]
        x = x.index_add(0, self._here(mixed), others)
        x = _at_unit_level(augment(x, self.sample_rate, c.augment))

        level_db = rng.normal(c.level_db, c.level_jitter_db, size)
        x = x * self._gain(level_db)[:, None]
        x = x * (0.99 / x.abs().amax(1, keepdim=True)).clamp(max=1.0)
        return x[:, None], x.square().mean(1).sqrt().clamp(min=1e-5)

    def _draw(self, rng: np.random.Generator, length: int) -> tuple[int, int]:
        """Start and length of a crop that is not silence, at most `length` samples."""
        floor = 10 ** (self.config.silence_db / 10)
        for _ in range(_MOST_DRAWS):
            kind = self._kinds[int(np.searchsorted(self._ends, rng.random(), side="right"))]
            recording = kind.draw(rng)
            offset = int(rng.integers(max(1, recording.samples - length + 1)))
            start, count = recording.start + offset, min(length, recording.samples - offset)
            # Whole blocks only: those at the ends may owe their energy to what is cut off.
            first, last = -(-start // _ENERGY_BLOCK), (start + count) // _ENERGY_BLOCK
            if self._energy[max(first, last)] - self._energy[first] > floor * length:
                return start, count
        raise ConfigError(
            f"{self.config.manifest}: {_MOST_DRAWS} crops in a row are below "
            f"silence_db: {self.config.silence_db}; are the recordings silent?"
        )

    def _cut(self, crops: list[tuple[int, int]], length: int) -> Tensor:
        """Crops of (start, length), zero-filled to `[B, length]`."""
        starts, counts = self._here(np.asarray(crops)).unbind(1)
        steps = torch.arange(length, device=self._audio.device)
        index = (starts[:, None] + steps).clamp(max=len(self._audio) - 1)
        return self._audio[index].float() / 32768 * (steps < counts[:, None])

    def _gain(self, db: NDArray[np.float64]) -> Tensor:
        return self._here((10 ** (db / 20)).astype(np.float32))

    def _here(self, values: NDArray[Any]) -> Tensor:
        """Copy numbers to the device of the corpus; the host does not wait for it."""
        x = torch.from_numpy(values)
        if self._audio.device.type == "cuda":
            x = x.pin_memory()
        return x.to(self._audio.device, non_blocking=True)


def _distribution(shares: list[float]) -> NDArray[np.float64]:
    ends = np.cumsum(np.asarray(shares, dtype=np.float64))
    ends /= ends[-1]
    ends[-1] = np.inf  # rounding must not leave a gap at the end
    return ends


def _cumulative_energy(audio: Tensor) -> NDArray[np.float64]:
    """Energy before each block of samples, `[blocks + 1]`, full scale 1."""
    blocks = []
    for piece in torch.split(audio, _ENERGY_BLOCK << 12):
        padded = torch.nn.functional.pad(piece, (0, -len(piece) % _ENERGY_BLOCK))
        blocks.append((padded.float() / 32768).square().view(-1, _ENERGY_BLOCK).sum(1))
    return np.concatenate(([0.0], np.cumsum(torch.cat(blocks).numpy(), dtype=np.float64)))


def _at_unit_level(x: Tensor) -> Tensor:
    return x / x.square().mean(1, keepdim=True).sqrt().clamp(min=1e-6)
