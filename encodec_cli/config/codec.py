"""What a codec is made of, as validated frozen dataclasses read from YAML.

    CodecConfig
    ├── seanet:    SEANetConfig      one object behind encoder and decoder
    └── quantizer: QuantizerConfig

Nothing here imports torch, so `info` and `models list` stay instant. Sizes that follow from
others (hop, frame rate, bits per code, bandwidth of a codebook) are properties, never keys.
"""

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

from encodec_cli.config.quantizer import QuantizerConfig
from encodec_cli.config.schema import check_keys, check_range, from_mapping, read_yaml
from encodec_cli.config.seanet import SEANetConfig, SEANetDecoderConfig
from encodec_cli.errors import ConfigError, UsageError, parameter
from encodec_cli.io.limits import (
    MAX_CHUNK_FRAMES,
    MAX_CHUNK_SAMPLES,
    MAX_RATE_HZ,
    MIN_RATE_HZ,
)
from encodec_cli.io.text import shown

__all__ = [
    "MOST_BEAMS",
    "CodecConfig",
    "load_codec_config",
]

_NEARLY = 1 + Fraction(1, 10**9)

MOST_BEAMS = 256
"""Partial code sequences that a search may keep."""
_DEFAULT_BANDWIDTH_KBPS = 6.0


@dataclass(frozen=True)
class CodecConfig:
    """A whole compression model.

    `sample_rate` in Hz; `segment_seconds` is the length of the independent pieces the model was
    trained to code (None: the whole signal) and `overlap` the share of a segment that adjacent
    ones have in common; `normalize` divides each segment by its RMS and stores that scale;
    `target_bandwidths` in kb/s are those the model was trained for. `search` is how many partial
    code sequences encoding keeps unless told otherwise (see runtime/search.py); 1 is greedy.
    `level_db` is the RMS level, in dBFS, that every second of a whole signal is brought to, see
    stream/gain.py; None leaves it as it is.
    """

    name: str
    sample_rate: int
    channels: int
    seanet: SEANetConfig
    decoder: SEANetDecoderConfig
    quantizer: QuantizerConfig
    target_bandwidths: tuple[float, ...]
    normalize: bool = False
    segment_seconds: float | None = None
    overlap: float = 0.01
    search: int = 1
    level_db: float | None = None

    def __post_init__(self) -> None:
        if not self.name.isprintable() or not 1 <= len(self.name) <= 200:
            raise ConfigError(f"name: {shown(self.name)}: give 1 to 200 printable characters")
        if not MIN_RATE_HZ <= self.sample_rate <= MAX_RATE_HZ:
            raise ConfigError(
                f"sample_rate: {shown(self.sample_rate)}: give {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz"
            )
        if self.segment_seconds is not None and not 0.01 <= self.segment_seconds <= 3600:
            raise ConfigError(f"segment_seconds: {self.segment_seconds}: give 0.01 to 3600")
        check_range(self, "search", 1, 256)
        if self.level_db is not None:
            if not -60 <= self.level_db <= 0:
                raise ConfigError(f"level_db: {self.level_db}: give -60 to 0")
            if self.segment_seconds is not None:
                raise ConfigError("level_db: is for whole signals; segments have normalize")
        segment, stride = self.segment_samples, self.stride_samples
        if segment is not None and segment * self.channels > MAX_CHUNK_SAMPLES:
            raise ConfigError(
                f"segment_seconds: {self.segment_seconds}: segments of {segment} samples; all "
                f"channels of one may have {MAX_CHUNK_SAMPLES}"
            )
        # With more, a file's end could cut more than its last two segments short.
        if not 0.0 <= self.overlap <= 0.5 or (segment and stride and segment > 2 * stride):
            raise ConfigError(f"overlap: {self.overlap}: give 0 to 0.5; segments overlap in pairs")
        if segment is None:
            if self.normalize:
                raise ConfigError("normalize: scales are per segment; set segment_seconds")
            if self.seanet.norm == "time_group_norm" or self.decoder.norm == "time_group_norm":
                raise ConfigError(
                    "norm: time_group_norm averages over all time, so it codes segments only; "
                    "set segment_seconds"
                )
        if not self.target_bandwidths:
            raise ConfigError("target_bandwidths: give at least one, in kb/s")
        for bandwidth in self.target_bandwidths:
            try:
                self.codebooks_for(bandwidth)
            except UsageError as error:
                raise ConfigError(f"target_bandwidths: {error}") from None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str = "config") -> Self:
        """Build from the layout of the YAML files; `where` names the file in errors.

        Raises:
            ConfigError: unknown or missing key, wrong type, value out of range.
        """
        if not isinstance(data, Mapping):
            raise ConfigError(f"{where}: not a mapping of keys to values")
        data = dict(data)
        allowed = {f.name for f in dataclasses.fields(cls)} - {"decoder"}
        check_keys(data, allowed, where)
        for section in ("seanet", "quantizer"):
            if not isinstance(data.get(section), Mapping):
                raise ConfigError(f"{where}: {section}: missing, or not a mapping of keys")
        if "channels" not in data:
            raise ConfigError(f"{where}: channels: missing")
        seanet = dict(data["seanet"])
        inherited = {"channels": data["channels"]}
        sides = {side: seanet.pop(side, None) or {} for side in ("encoder", "decoder")}
        if "channels" in seanet:
            raise ConfigError(f"{where}: seanet: channels is set once, at the top")
        for side, keys in sides.items():
            if not isinstance(keys, Mapping):
                raise ConfigError(f"{where}: seanet.{side}: not a mapping of keys")
            for key in ("channels", "dimension", "ratios"):
                if key in keys:
                    raise ConfigError(
                        f"{where}: seanet.{side}: {key} is shared by encoder and decoder; "
                        "set it once, outside"
                    )
        data["seanet"] = from_mapping(
            SEANetConfig, {**inherited, **seanet, **sides["encoder"]}, f"{where}: seanet"
        )
        decoder = from_mapping(
            SEANetDecoderConfig, {**inherited, **seanet, **sides["decoder"]}, f"{where}: seanet"
        )
        quantizer = dict(data["quantizer"])
        if "dimension" in quantizer:
            raise ConfigError(f"{where}: quantizer: dimension is taken from seanet.dimension")
        quantizer["dimension"] = data["seanet"].dimension
        data["quantizer"] = from_mapping(QuantizerConfig, quantizer, f"{where}: quantizer")
        return from_mapping(cls, {**data, "decoder": decoder}, where)

    def to_dict(self) -> dict[str, Any]:
        """Inverse of `from_dict`: JSON-ready, every key spelled out."""
        data: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        encoder, decoder = data["seanet"], data.pop("decoder")
        for section in (encoder, decoder):
            del section["channels"]
        shared = {k: v for k, v in encoder.items() if decoder[k] == v}
        data["seanet"] = {
            **shared,
            "encoder": {k: v for k, v in encoder.items() if k not in shared},
            "decoder": {k: v for k, v in decoder.items() if k not in shared},
        }
        del data["quantizer"]["dimension"]
        return data

    @property
    def hop_length(self) -> int:
        """Samples per frame."""
        return self.seanet.hop_length

    @property
    def frame_rate(self) -> Fraction:
        """Frames per second, exact."""
        return Fraction(self.sample_rate, self.hop_length)

    @property
    def chunk_frames(self) -> int:
        """Frames of one chunk of codes, unless told otherwise: of a segment, or about a second.

        Of whole signals it is the least multiple of 8 that lasts a second or longer, so that no
        codebook of a full chunk needs fill bits: 80 at 75 Hz, 152 at 150 Hz. Files hold at most
        `MAX_CHUNK_FRAMES` in a chunk.
        """
        if self.segment_samples is not None:
            return self.frames(self.segment_samples)
        return min(MAX_CHUNK_FRAMES, 8 * -(-self.sample_rate // (8 * self.hop_length)))

    @property
    def segment_samples(self) -> int | None:
        """Samples of one segment, None when the whole signal is one."""
        if self.segment_seconds is None:
            return None
        return int(self.segment_seconds * self.sample_rate)

    @property
    def stride_samples(self) -> int | None:
        """Samples from the start of one segment to the start of the next."""
        segment = self.segment_samples
        return None if segment is None else max(1, int((1 - self.overlap) * segment))

    def frames(self, samples: int) -> int:
        """Frames that `samples` samples are coded in (integers: encodec#35)."""
        return -(-samples // self.hop_length)

    def bandwidth_kbps(self, n_q: int) -> float:
        """kb/s of the codes of `n_q` codebooks, without container."""
        return float(n_q * self.quantizer.bits * self.frame_rate / 1000)

    def codebooks_for(self, bandwidth_kbps: float) -> int:
        """Largest number of codebooks whose codes fit in `bandwidth_kbps`.

        Raises:
            UsageError: below one codebook or above all of them.
        """
        per_codebook = self.quantizer.bits * self.frame_rate / 1000
        # 1 part in 10^9 so that 1.1 (no exact binary) still holds a codebook of exactly 1.1 kb/s.
        if not math.isfinite(bandwidth_kbps) or bandwidth_kbps <= 0:
            raise UsageError(f"bandwidth {bandwidth_kbps:g} kb/s: give a number above 0")
        n_q = math.floor(Fraction(bandwidth_kbps) * _NEARLY / per_codebook)
        if not 1 <= n_q <= self.quantizer.n_q:
            raise UsageError(
                f"bandwidth {bandwidth_kbps:g} kb/s: {self.name} codes "
                f"{self.bandwidth_kbps(1):g} to {self.bandwidth_kbps(self.quantizer.n_q):g} kb/s"
            )
        return n_q

    def rate_below(self, bandwidth_kbps: float) -> float:
        """The largest rate in kb/s that the model has up to `bandwidth_kbps`.

        Raises:
            UsageError: below one codebook or above all of them.
        """
        return self.bandwidth_kbps(self.codebooks_for(bandwidth_kbps))

    def choose_codebooks(self, bandwidth: float | None = None, n_q: int | None = None) -> int:
        """Codebooks for a bandwidth in kb/s or a number; for what is nearest to 6 kb/s if neither.

        Raises:
            UsageError: both given, or out of the model's range.
        """
        if bandwidth is not None and n_q is not None:
            raise UsageError(f"give {parameter('bandwidth')} or {parameter('n_q')}, not both")
        if n_q is not None:
            return self.check_codebooks(n_q)
        if bandwidth is not None:
            return self.codebooks_for(bandwidth)
        most, least = self.bandwidth_kbps(self.quantizer.n_q), self.bandwidth_kbps(1)
        return self.codebooks_for(max(least, min(_DEFAULT_BANDWIDTH_KBPS, most)))

    def check_codebooks(self, n_q: int) -> int:
        """Return `n_q` if this model has that many codebooks.

        Raises:
            UsageError: if it has not.
        """
        if not 1 <= n_q <= self.quantizer.n_q:
            raise UsageError(f"{shown(n_q)} codebooks: {self.name} has 1 to {self.quantizer.n_q}")
        return n_q


def load_codec_config(path: Path) -> CodecConfig:
    """Read a model config.

    Raises:
        ConfigError: see `CodecConfig.from_dict`; also if the file is missing or not YAML.
    """
    return CodecConfig.from_dict(read_yaml(path), str(path))
