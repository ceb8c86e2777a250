"""A training recipe, read from YAML and validated like a model config."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from encodec_cli.config.schema import (
    check_range,
    faults_in,
    from_nested,
    raise_faults,
    read_yaml,
)
from encodec_cli.errors import ConfigError
from encodec_cli.io.text import shown
from encodec_cli.train.named_files import faults_of_files

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
    ("search", 1, 256),
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

    speed: Annotated[float, "share of batches at another speed"] = 0.0
    fastest: Annotated[float, "most that the speed changes by, up and down"] = 1.2
    band_limit: Annotated[float, "share of crops that lose their highest frequencies"] = 0.0
    reverb: Annotated[float, "share of crops in a room"] = 0.0
    noise: Annotated[float, "share of crops with noise"] = 0.0

    def __post_init__(self) -> None:
        for name in ("speed", "band_limit", "reverb", "noise"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name}: {getattr(self, name)}: give 0 to 1")
        if not 1 <= self.fastest <= 2:
            raise ConfigError(f"fastest: {self.fastest}: give 1 to 2")


@dataclass(frozen=True)
class DataConfig:
    """Where recordings come from and how crops are drawn from them.

    `manifest` and `validation` are CSV files with the columns file, kind and, where it is not what
    the file says, source_rate. `weights` is the share of crops per kind, each file counting by its
    length; empty, kinds count by their lengths too. Crops are scaled to `level_db` RMS with a
    standard deviation of `level_jitter_db`; those below `silence_db` before that are skipped. Files
    narrower than the model's band (`source_rate`) are drawn `narrow_weight` times as often as
    others of their length.
    """

    manifest: Annotated[
        str,
        "CSV list of the recordings: file, kind, and source_rate where it is not "
        "what the file says",
    ]
    validation: Annotated[str, "list of other recordings, to judge by"]
    cache: Annotated[
        str,
        "folder for the recordings, decoded once to 16 bits: 173 MB an hour at 24 "
        "kHz; `cache` in the output if empty",
    ] = ""
    weights: Annotated[
        dict[str, float],
        "share of the crops by kind; kinds that are not named are not used; by length if empty",
    ] = field(default_factory=dict)
    crop_seconds: Annotated[float, "length of a crop"] = 1.0
    level_db: Annotated[float, "RMS level that crops are brought to, dBFS"] = -23.0
    level_jitter_db: Annotated[float, "its standard deviation"] = 5.0
    silence_db: Annotated[float, "quieter crops are not used, dBFS"] = -55.0
    narrow_weight: Annotated[
        float,
        "how often recordings with `source_rate` below the model's are drawn, against others",
    ] = 0.5
    mix_probability: Annotated[float, "share of crops with another one mixed in"] = 0.1
    augment: Annotated[
        AugmentConfig,
        "changes of crops, see below",
    ] = field(default_factory=AugmentConfig)

    def __post_init__(self) -> None:
        shares = self.weights.values()
        if self.weights and (min(shares) < 0 or not sum(shares)):
            raise ConfigError("weights: give a share above 0 for at least one kind")
        if not 0.1 <= self.crop_seconds <= 60:
            raise ConfigError(f"crop_seconds: {self.crop_seconds}: give 0.1 to 60")
        for name in ("narrow_weight", "mix_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name}: {getattr(self, name)}: give 0 to 1")


@dataclass(frozen=True)
class LossConfig:
    """Weights of the balancer's losses, and of the commitment penalty beside it.

    The spectral loss is taken of signals scaled to unit RMS: log-mel L1, with `floor` the least
    mel energy that counts, plus `complex` times a distance of compressed complex spectra.
    `intelligibility` and `loudness` are those of `perception`; `level` is that of bands.
    """

    spectral: Annotated[
        float,
        "log-mel distance over `windows`, plus `complex` times a distance of compressed spectra",
    ] = 1.0
    waveform: Annotated[float, "squared error over energy"] = 1.0
    complex: Annotated[float, "see `spectral`"] = 0.0
    intelligibility: Annotated[float, "after ESTOI"] = 0.0
    loudness: Annotated[float, "after PESQ's loudness"] = 0.0
    level: Annotated[float, "level of patches of the spectrum"] = 0.0
    missing: Annotated[
        float, "how much level that is missing counts in `level`, against level that is added"
    ] = 1.0
    adversarial: Annotated[float, "of the discriminator"] = 1.0
    feature: Annotated[float, "of the discriminator: distance of its layers"] = 1.0
    commitment: Annotated[float, "of the quantizer, beside the others"] = 1.0
    floor: Annotated[float, "least mel energy that counts"] = 1e-3
    windows: Annotated[tuple[int, ...], "STFT windows, samples"] = (128, 256, 512, 1024, 2048)

    def __post_init__(self) -> None:
        for entry in dataclasses.fields(self):
            if entry.name != "windows":
                check_range(self, entry.name, 0, 1e6)
        _check_windows("windows", self.windows)


@dataclass(frozen=True)
class AdversaryConfig:
    """The multi-scale STFT discriminator; it joins at `start` (None: never)."""

    start: Annotated[
        int | None,
        "step at which the multi-scale STFT discriminator joins; never without",
    ] = None
    filters: Annotated[int, "its channels"] = 32
    n_ffts: Annotated[tuple[int, ...], "its windows, samples"] = (2048, 1024, 512, 256, 128)
    learning_rate: Annotated[float, "of its AdamW"] = 3e-4

    def __post_init__(self) -> None:
        if self.start is not None:
            check_range(self, "start", 0, _MOST_STEPS)
        check_range(self, "filters", 1, 1024)
        check_range(self, "learning_rate", 0, 1)
        _check_windows("n_ffts", self.n_ffts)


@dataclass(frozen=True)
class TrainConfig:
    """One run. `model` is a bundled config, or one beside this file; `output` the folder it fills.

    The learning rate rises over `warmup` steps, stays, and falls to zero over the last `decay`
    steps. `warm_start` names models (ours) whose weights the run begins with, their mean if
    there are several (model soups, Wortsman et al. 2022); no optimizer state is needed. With
    `decoder_only` encoder and codebooks stay, and so do the codes. With `encoder_only` decoder and
    codebooks stay: it learns to choose other codes, and files decode as before. With `blend` see
    `train.blend`. With `search` either learns from the codes that `encode --search` finds; each
    bandwidth gets the same share of every batch. `precision` "auto" is bf16 where the device
    computes in it, else fp32.
    """

    model: Annotated[
        str,
        "config of the networks: a bundled model's name, or a YAML file beside the recipe",
    ]
    output: Annotated[str, "folder of the run"]
    data: Annotated[DataConfig, "recordings, see below"]
    loss: Annotated[
        LossConfig,
        "shares of the losses, see below",
    ] = field(default_factory=LossConfig)
    adversary: Annotated[
        AdversaryConfig,
        "the discriminator, see below",
    ] = field(default_factory=AdversaryConfig)
    name: Annotated[
        str | None,
        "name of the model, in its file and in `.ecdc` headers; that of `model` without",
    ] = None
    licence: Annotated[str, "text for the model file"] = "unstated"
    training_data: Annotated[str, "text for the model file"] = "unstated"
    warm_start: Annotated[
        tuple[str, ...],
        "models whose weights the run begins with, by path or bundled name; of several, the mean",
    ] = ()
    decoder_only: Annotated[
        bool,
        "keep encoder and codebooks, and so the codes; needs `warm_start`",
    ] = False
    encoder_only: Annotated[
        bool,
        "keep decoder and codebooks, and so what codes mean; needs `warm_start`",
    ] = False
    blend: Annotated[
        bool,
        "with `decoder_only` or `encoder_only`: in the end go back towards the weights it began "
        "with, as far as the recordings of `validation` score best",
    ] = False
    search: Annotated[
        int,
        "with `decoder_only` or `encoder_only`: sequences of codes that the search keeps, as "
        "`encode --search` does; 1 is the greedy choice",
    ] = 1
    seed: Annotated[int, "of all random numbers"] = 0
    steps: Annotated[int, "steps in all"] = 100_000
    batch: Annotated[int, "crops in a step"] = 16
    learning_rate: Annotated[float, "of AdamW"] = 1e-3
    betas: Annotated[tuple[float, ...], "of AdamW"] = (0.8, 0.99)
    weight_decay: Annotated[float, "of AdamW"] = 0.01
    clip: Annotated[float, "largest norm of the gradient"] = 1.0
    warmup: Annotated[int, "steps over which the rate rises to `learning_rate`"] = 200
    decay: Annotated[int, "last steps, over which it falls to 0"] = 10_000
    quantizer_start: Annotated[
        int,
        "step at which the codebooks begin, by k-means; without them until then",
    ] = 300
    kmeans_batches: Annotated[int, "batches that k-means sees"] = 16
    ema_decay: Annotated[float, "of the averaged weights"] = 0.999
    validate_every: Annotated[int, "steps between validations"] = 1000
    save_every_seconds: Annotated[float, "seconds between saves of the state"] = 180.0
    precision: Annotated[
        Literal["auto", "bf16", "fp32"],
        "bf16, fp32, or bf16 where the device computes in it",
    ] = "auto"

    def __post_init__(self) -> None:
        for name, least, most in _RANGES:
            check_range(self, name, least, most)
        if not 0 < self.learning_rate < 1:
            raise ConfigError(f"learning_rate: {self.learning_rate}: give 0 to 1")
        if not 0 <= self.ema_decay < 1:
            raise ConfigError(f"ema_decay: {self.ema_decay}: give 0 <= ema_decay < 1")
        if self.decoder_only and self.encoder_only:
            raise ConfigError("decoder_only, encoder_only: give one of them")
        if self.decoder_only and not self.warm_start:
            raise ConfigError(
                "decoder_only: needs warm_start, a model whose codes are to be decoded"
            )
        if self.encoder_only and not self.warm_start:
            raise ConfigError("encoder_only: needs warm_start, a model that is to be encoded for")
        if self.blend and not (self.decoder_only or self.encoder_only):
            raise ConfigError(
                "blend: needs decoder_only or encoder_only; codebooks cannot lie between others"
            )
        if self.search > 1 and not (self.decoder_only or self.encoder_only):
            raise ConfigError(
                f"search: {self.search}: needs decoder_only or encoder_only; codebooks that change "
                "are searched greedily"
            )
        if len(self.betas) != 2:
            raise ConfigError(f"betas: {list(self.betas)}: give two numbers")


def load_train_config(path: Path, *, with_files: bool = False) -> TrainConfig:
    """Read a recipe; paths inside it are relative to the working directory.

    Raises:
        ConfigError: missing file; all unknown, missing or ill-typed keys in one message, and those
            whose files are missing or no good if `with_files`.
    """
    data = read_yaml(path)
    if with_files:
        raise_faults([*faults_in(TrainConfig, data), *faults_of_files(data, path)], str(path))
    config = from_nested(TrainConfig, data, str(path))
    if config.data.cache:
        return config
    cache = str(Path(config.output) / "cache")
    return dataclasses.replace(config, data=dataclasses.replace(config.data, cache=cache))
