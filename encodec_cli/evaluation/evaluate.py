"""Recordings through a codec: real sizes, metrics, speeds, and the audio that came back.

    reference = read_reference(Path("talk.wav"), model.sample_rate, model.channels)
    for result in evaluate_model(model, reference):
        print(result.row.kbps, result.row.metrics["si_sdr"])
        listen_to(result.audio)

Every recording goes through a real `.ecdc` file, whose bytes are counted. `summary` makes means
and intervals of the rows; other codecs are in `other_codecs`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from encodec_cli.audio import FloatBlock, quantize, read_whole
from encodec_cli.evaluation.alignment import align
from encodec_cli.evaluation.metric_names import METRICS
from encodec_cli.evaluation.metrics import measure
from encodec_cli.io.temporary import temporary_folder
from encodec_cli.model.codec import Codec
from encodec_cli.pipeline.decode import DecodeOptions, decode_file
from encodec_cli.pipeline.encode import EncodeOptions, encode_file
from encodec_cli.stream.signals import decode, encode

__all__ = [
    "Coded",
    "Evaluated",
    "Reference",
    "Row",
    "already_decoded",
    "evaluate_model",
    "is_speech",
    "judge",
    "read_reference",
    "through_model",
    "warm_up",
]

_MOST_SECONDS = 1800.0
_FULL_SCALE = 32768
_NOT_SPEECH = frozenset({"music", "noise", "sound", "sounds"})


@dataclass(frozen=True)
class Reference:
    """A recording, mixed and resampled as a codec takes it."""

    path: Path
    kind: str | None
    """"speech", "music" or any other group it belongs to; None if nobody said."""
    sample_rate: int
    audio: FloatBlock
    """`[C, N]`, linear range [-1, 1]."""

    @property
    def seconds(self) -> float:
        """Length."""
        return float(self.audio.shape[1] / self.sample_rate)


@dataclass(frozen=True, kw_only=True)
class Coded:
    """What a codec made of a recording, not yet judged."""

    codec: str
    """Name of the model or program."""
    bandwidth: float | None
    """kb/s: of a model those of its codes, else what was asked for; None if unknown."""
    bytes: int | None
    """Size; None if unknown."""
    audio: FloatBlock
    """Decoded, `[C, N]`, at the reference's rate; not clipped."""
    encode_seconds: float | None
    decode_seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Row:
    """One recording through one codec at one bandwidth, in numbers."""

    recording: str
    kind: str | None
    codec: str
    bandwidth: float | None
    """That of `Coded`."""
    seconds: float
    """Length of the audio."""
    bytes: int | None
    encode_speed: float | None
    """Seconds of audio per second of work, reading and writing files included."""
    decode_speed: float | None
    clipped: int
    """Decoded samples, of any channel, at or beyond full scale of 16 bits."""
    metrics: Mapping[str, float]
    """See `metrics.measure`, of the mix to mono."""

    @property
    def kbps(self) -> float | None:
        """Real rate, from the bytes."""
        return None if self.bytes is None else self.bytes * 8 / self.seconds / 1000

    def as_dict(self) -> dict[str, Any]:
        """All of it, flat; metrics that were not measured are None."""
        fields = {name: value for name, value in vars(self).items() if name != "metrics"}
        return fields | {"kbps": self.kbps} | {name: self.metrics.get(name) for name in METRICS}


@dataclass(frozen=True)
class Evaluated:
    """A row and the audio it describes."""

    row: Row
    audio: FloatBlock
    """Decoded, `[C, N]`, as long as the reference and at its rate; not clipped."""


def is_speech(kind: str | None) -> bool:
    """Whether ESTOI and PESQ are worth measuring: unless `kind` is music, noise or sound(s)."""
    return kind is None or kind.lower() not in _NOT_SPEECH


def read_reference(
    path: Path, sample_rate: int, channels: int = 1, *, kind: str | None = None
) -> Reference:
    """All of a recording in memory, mixed and resampled to `channels` at `sample_rate` Hz.

    Rounded to 16 bits, as a WAV file would hold it. Below the noise of 16 bits, logarithmic spectra
    would compare what nobody can hear.

    Raises:
        AudioError: see `open_audio`; longer than half an hour.
    """
    audio = read_whole(path, sample_rate, channels, most_seconds=_MOST_SECONDS)
    rounded = quantize(audio, 16).astype(np.float32) / np.float32(_FULL_SCALE)
    return Reference(path, kind, sample_rate, rounded)


def evaluate_model(
    model: Codec,
    reference: Reference,
    bandwidths: Sequence[float] | None = None,
    *,
    speech: bool | None = None,
    search: int | None = None,
    refine: bool = False,
    fit: int = 0,
) -> Iterator[Evaluated]:
    """Rows and audio of a recording at each of `bandwidths` (kb/s; the model's own if None).

    `reference` has the rate and channels of `model`. ESTOI and PESQ are measured where `is_speech`
    says so, unless `speech` decides. `search`, `refine` and `fit` are those of `stream_encoder`.

    Raises:
        EncodecCliError: see `encode_file`, `CodecConfig.codebooks_for`.
    """
    for bandwidth in model.target_bandwidths if bandwidths is None else bandwidths:
        coded = through_model(model, reference, bandwidth, search=search, refine=refine, fit=fit)
        yield Evaluated(judge(reference, coded, speech=speech), coded.audio)


def warm_up(model: Codec) -> None:
    """Do what is done once per model, so that it counts in no recording's time."""
    silence = np.zeros((model.channels, model.config.hop_length), np.float32)
    decode(model, encode(model, silence))


def through_model(
    model: Codec,
    reference: Reference,
    bandwidth: float,
    *,
    search: int | None = None,
    refine: bool = False,
    fit: int = 0,
) -> Coded:
    """Code the file of `reference` at `bandwidth` kb/s into an `.ecdc` file, and decode that.

    Rates between two of the model's become the lower one.

    `search`, `refine` and `fit` are those of `stream_encoder`; the name of the codec tells if
    they were given.

    Raises:
        EncodecCliError: see `encode_file`, `CodecConfig.codebooks_for`.
    """
    n_q = model.config.codebooks_for(bandwidth)
    with temporary_folder() as folder:
        packed, decoded = folder / "audio.ecdc", folder / "audio.wav"
        options = EncodeOptions(n_q=n_q, search=search, refine=refine, fit=fit, tags=None)
        encoding = encode_file(model, reference.path, packed, options)
        decoding = decode_file(model, packed, decoded, DecodeOptions(encoding="float"))
        return Coded(
            codec=_named(model.config.name, options),
            bandwidth=model.config.bandwidth_kbps(n_q),
            bytes=encoding.bytes,
            audio=read_whole(decoded, model.sample_rate, model.channels),
            encode_seconds=encoding.elapsed_seconds,
            decode_seconds=decoding.elapsed_seconds,
        )


def _named(model: str, options: EncodeOptions) -> str:
    searched = model if options.search is None else f"{model} search {options.search}"
    if options.fit:
        return f"{searched} fit {options.fit}"
    return f"{searched} refined" if options.refine else searched


def already_decoded(reference: Reference, path: Path, codec: str) -> Coded:
    """The file `path`, which some codec made of `reference`, aligned with it.

    Raises:
        AudioError: see `open_audio`.
    """
    audio = read_whole(
        path, reference.sample_rate, reference.audio.shape[0], most_seconds=_MOST_SECONDS
    )
    return Coded(
        codec=codec,
        bandwidth=None,
        bytes=None,
        audio=align(reference.audio, audio, reference.sample_rate),
        encode_seconds=None,
        decode_seconds=None,
    )


def judge(reference: Reference, coded: Coded, *, speech: bool | None = None) -> Row:
    """The numbers of what came back, which is as long as `reference`."""
    if speech is None:
        speech = is_speech(reference.kind)
    seconds = reference.seconds
    return Row(
        recording=str(reference.path),
        kind=reference.kind,
        codec=coded.codec,
        bandwidth=coded.bandwidth,
        seconds=seconds,
        bytes=coded.bytes,
        encode_speed=_speed(seconds, coded.encode_seconds),
        decode_speed=_speed(seconds, coded.decode_seconds),
        clipped=int(np.count_nonzero(abs(coded.audio) >= (_FULL_SCALE - 1) / _FULL_SCALE)),
        metrics=measure(
            _mono(reference.audio), _mono(coded.audio), reference.sample_rate, speech=speech
        ),
    )


def _speed(seconds: float, elapsed: float | None) -> float | None:
    return None if elapsed is None else seconds / max(elapsed, 1e-9)


def _mono(audio: FloatBlock) -> Tensor:
    return torch.from_numpy(audio).mean(0)
