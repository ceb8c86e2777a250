"""A training recipe, read from YAML and validated like a model config."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from encodec_cli.config.schema import check_range, from_mapping, read_yaml
from encodec_cli.errors import ConfigError
from encodec_cli.io.text import shown

__all__ = [
    "AdversaryConfig",
    "AugmentConfig",
    "DataConfig",
    "LossConfig",
    "TrainConfig",
    "load_train_config",
]


_MOST_STEPS = 1 << 40
_RANGES = (
    ("seed", 0, (1 << 63) - 1),
    ("steps", 1, _MOST_STEPS),
    ("batch", 1, 1 << 16),
    ("kmeans_batches", 1, 1 << 16),
    ("validate_every", 1, _MOST_STEPS),
    ("quantizer_start", 0, _MOST_STEPS),
    ("warmup", 0, _MOST_STEPS),
    ("decay", 0, _MOST_STEPS),
    ("clip", 0, 1e9),
    ("weight_decay", 0, 1e3),
    ("save_every_seconds", 0, 1e9),
)


def _check_windows(name: str, windows: tuple[int, ...]) -> None:
    if not 1 <= len(windows) <= 32 or not all(8 <= size <= 1 << 16 for size in windows):
        raise ConfigError(f"{name}: {shown(list(windows))}: give 1 to 32 lengths of 8 to 65536")


@dataclass(frozen=True)
class AugmentConfig:
    """Share of crops that get each change; `speed` is a share of batches.

    `fastest` bounds the change of speed, up and down.
    """

    speed: float = 0.0
    fastest: float = 1.2
    band_limit: float = 0.0
    reverb: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        for name in ("speed", "band_limit", "reverb", "noise"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name}: {getattr(self, name)}: give 0 to 1")
        if not 1 <= self.fastest <= 2:
            raise ConfigError(f"fastest: {self.fastest}: give 1 to 2")


@dataclass(frozen=True)
class DataConfig:
    """Where recordings come from and how crops are drawn from them.

    `manifest` and `validation` are CSV files with the columns file, kind, source_rate;
    `weights` is the share of crops per kind, each file counting by its length. Crops are scaled
    to `level_db` RMS with a standard deviation of `level_jitter_db`; those below `silence_db`
    before scaling are skipped. Files narrower than the model's band (`source_rate`) are drawn
    `narrow_weight` times as often as others of their length.
    """

    manifest: str
    validation: str
    cache: str
    weights: dict[str, float]
    crop_seconds: float = 1.0
    level_db: float = -23.0
    level_jitter_db: float = 5.0
    silence_db: float = -55.0
    narrow_weight: float = 0.5
    mix_probability: float = 0.1
    augment: AugmentConfig = field(default_factory=AugmentConfig)

    def __post_init__(self) -> None:
        if not self.weights or min(self.weights.values()) < 0 or not sum(self.weights.values()):
            raise ConfigError("data: weights: give a share above 0 for at least one kind")
        if not 0.1 <= self.crop_seconds <= 60:
            raise ConfigError(f"data: crop_seconds: {self.crop_seconds}: give 0.1 to 60")
        for name in ("narrow_weight", "mix_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"data: {name}: {getattr(self, name)}: give 0 to 1")


@dataclass(frozen=True)
class LossConfig:
    """Weights of the balancer's losses, and of the commitment penalty beside it.

    The spectral loss is taken of signals scaled to unit RMS: log-mel L1, with `floor` the least
    mel energy that counts, plus `complex` times a distance of compressed complex spectra.
    `intelligibility` and `loudness` are those of `perception`; `level` is that of bands.
    """

    spectral: float = 1.0
    waveform: float = 1.0
    complex: float = 0.0
    intelligibility: float = 0.0
    loudness: float = 0.0
    level: float = 0.0
    adversarial: float = 1.0
    feature: float = 1.0
    commitment: float = 1.0
    floor: float = 1e-3
    windows: tuple[int, ...] = (128, 256, 512, 1024, 2048)

    def __post_init__(self) -> None:
        for entry in dataclasses.fields(self):
            if entry.name != "windows":
                check_range(self, entry.name, 0, 1e6)
        _check_windows("windows", self.windows)


@dataclass(frozen=True)
class AdversaryConfig:
    """The multi-scale STFT discriminator; it joins at `start` (None: never)."""

    start: int | None = None
    filters: int = 32
    n_ffts: tuple[int, ...] = (2048, 1024, 512, 256, 128)
    learning_rate: float = 3e-4

    def __post_init__(self) -> None:
        if self.start is not None:
            check_range(self, "start", 0, _MOST_STEPS)
        check_range(self, "filters", 1, 1024)
        check_range(self, "learning_rate", 0, 1)
        _check_windows("n_ffts", self.n_ffts)


@dataclass(frozen=True)
class TrainConfig:
    """One run. `model` is a model config beside this file; `output` the folder it fills.

    The learning rate rises over `warmup` steps, stays, and falls to zero over the last `decay`
    steps. `warm_start` names checkpoints (ours) whose weights the run begins with, their mean if
    there are several (model soups, Wortsman et al. 2022); no optimizer state is needed. With
    `decoder_only` encoder and codebooks stay, and so do the codes. `precision` "auto" is bf16 where
    the device computes in it, else fp32.
    """

    model: str
    output: str
    data: DataConfig
    loss: LossConfig = field(default_factory=LossConfig)
    adversary: AdversaryConfig = field(default_factory=AdversaryConfig)
    name: str | None = None
    licence: str = "unstated"
    training_data: str = "unstated"
    warm_start: tuple[str, ...] = ()
    decoder_only: bool = False
    seed: int = 0
    steps: int = 100_000
    batch: int = 16
    learning_rate: float = 1e-3
    betas: tuple[float, ...] = (0.8, 0.99)
    weight_decay: float = 0.01
    clip: float = 1.0
    warmup: int = 200
    decay: int = 10_000
    quantizer_start: int = 300
    kmeans_batches: int = 16
    ema_decay: float = 0.999
    validate_every: int = 1000
    save_every_seconds: float = 180.0
    precision: Literal["auto", "bf16", "fp32"] = "auto"

    def __post_init__(self) -> None:
        for name, least, most in _RANGES:
            check_range(self, name, least, most)
        if not 0 < self.learning_rate < 1:
            raise ConfigError(f"learning_rate: {self.learning_rate}: give 0 to 1")
        if not 0 <= self.ema_decay < 1:
            raise ConfigError(f"ema_decay: {self.ema_decay}: give 0 <= ema_decay < 1")
        if self.decoder_only and not self.warm_start:
            raise ConfigError(
                "decoder_only: needs warm_start, a model whose codes are to be decoded"
            )
        if len(self.betas) != 2:
            raise ConfigError(f"betas: {list(self.betas)}: give two numbers")


def load_train_config(path: Path) -> TrainConfig:
    """Read a recipe; paths inside it are relative to the working directory.

    Raises:
        ConfigError: missing file, unknown or ill-typed key.
    """
    data = read_yaml(path)
    if isinstance(data.get("data"), dict):
        data["data"] = _with_section(data["data"], "augment", AugmentConfig, f"{path}: data")
    for name, cls in (("data", DataConfig), ("loss", LossConfig), ("adversary", AdversaryConfig)):
        data = _with_section(data, name, cls, str(path))
    return from_mapping(TrainConfig, data, str(path))


def _with_section(data: dict[str, Any], name: str, cls: type[Any], where: str) -> dict[str, Any]:
    """`data`, whose mapping `name` (if there) is read as a `cls`."""
    if name not in data:
        return data
    if not isinstance(data[name], dict):
        raise ConfigError(f"{where}: {name}: not a mapping of keys")
    return data | {name: from_mapping(cls, data[name], f"{where}: {name}")}
