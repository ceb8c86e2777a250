"""Recordings cut into pieces: which are worth having, and how they are written."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from encodec_cli.audio import (
    FloatBlock,
    Resampler,
    mix_channels,
    open_audio,
    open_audio_writer,
)
from encodec_cli.io.files import atomic_output

__all__ = ["Heard", "Piece", "pieces", "write_flac", "write_opus"]

PIECE_SECONDS = 30
SHORTEST_SECONDS = 1.0
SILENCE_DB = -55.0
"""RMS in dBFS below which a piece is silence."""
MOST_CLIPPED = 1e-3
"""Share of samples at full scale above which a piece is clipped."""
_FULL_SCALE = 0.999

_SLOTS, _BANDS = 32, 9
_ALIKE = 0.08
"""Share of the bits of two fingerprints that may differ where the sound is the same."""
_OPUS_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)
_BLOCK = 8_192


@dataclass(frozen=True)
class Piece:
    """Part of a recording.

    Attributes:
        audio: `[C, N]`, C 1 or 2.
        sample_rate: Hz, of the recording.
        start: seconds from the beginning of the recording.
    """

    audio: FloatBlock
    sample_rate: int
    start: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.audio.shape[1] / self.sample_rate

    def fault(self) -> str | None:
        """Why it is not worth having: short, silence or clipped; None if it is."""
        if self.seconds < SHORTEST_SECONDS:
            return "short"
        if np.mean(np.square(self.audio, dtype=np.float64)) < 10 ** (SILENCE_DB / 10):
            return "silence"
        if np.mean(np.abs(self.audio) >= _FULL_SCALE) > MOST_CLIPPED:
            return "clipped"
        return None


def pieces(path: Path) -> Iterator[Piece]:
    """The recording `path` in pieces of 30 s, the last with the rest.

    Raises:
        AudioError: see `open_audio` and `AudioReader.blocks`.
    """
    with open_audio(path) as reader:
        channels = min(reader.channels, 2)
        for number, block in enumerate(reader.blocks(PIECE_SECONDS * reader.sample_rate)):
            audio = mix_channels(block, channels)
            yield Piece(audio, reader.sample_rate, float(number * PIECE_SECONDS))


class Heard:
    """The pieces so far, known by coarse fingerprints.

    A fingerprint divides a piece into 32 slots of time and 9 bands from 60 Hz to 4 kHz, and says
    of each neighbouring pair of both whether the upper band gained on the lower one (after
    Haitsma and Kalker, A Highly Robust Audio Fingerprinting System, 2002, section 4.2, with slots
    of a second instead of 12 ms). Volume, coding and sample rate hardly change it; pieces that
    begin elsewhere in the same recording have another.
    """

    def __init__(self) -> None:
        self._seconds: list[float] = []
        self._prints: list[NDArray[np.bool_]] = []

    def add(self, piece: Piece) -> bool:
        """Whether `piece` is new; then it counts as heard."""
        found = _fingerprint(piece)
        if self._prints:
            lengths = np.abs(np.asarray(self._seconds) - piece.seconds) < 0.01 * piece.seconds
            differ = np.mean(np.stack(self._prints) != found, axis=1)
            if np.any(lengths & (differ < _ALIKE)):
                return False
        self.put(piece.seconds, found)
        return True

    def put(self, seconds: float, found: NDArray[np.bool_]) -> None:
        """Count as heard what an earlier run has heard."""
        self._seconds.append(seconds)
        self._prints.append(found)

    def since(self, count: int) -> list[tuple[float, str]]:
        """Lengths in seconds and fingerprints, as hexadecimal text, from number `count` on."""
        texts = [np.packbits(found).tobytes().hex() for found in self._prints[count:]]
        return list(zip(self._seconds[count:], texts, strict=True))

    def load(self, known: list[tuple[float, str]]) -> None:
        """Take back what `since` gave."""
        for seconds, text in known:
            bits = np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8))
            self.put(seconds, bits[: (_SLOTS - 1) * (_BANDS - 1)].astype(bool))

    def __len__(self) -> int:
        return len(self._prints)


def _fingerprint(piece: Piece) -> NDArray[np.bool_]:
    mono = piece.audio.mean(axis=0)
    slots = np.array_split(mono, _SLOTS)
    edges = np.geomspace(60, 4_000, _BANDS + 1)
    energy = np.empty((_SLOTS, _BANDS))
    for slot, samples in enumerate(slots):
        power = np.square(np.abs(np.fft.rfft(samples * np.hanning(len(samples)))))
        bins = np.round(edges * len(samples) / piece.sample_rate).astype(int)
        total = np.concatenate(([0.0], np.cumsum(power)))
        bins = np.minimum(bins, len(total) - 1)
        energy[slot] = total[bins[1:]] - total[bins[:-1]]
    tilt = np.diff(np.log(energy + 1e-9), axis=1)
    return np.asarray(np.diff(tilt, axis=0) > 0).ravel()


def write_flac(piece: Piece, path: Path) -> None:
    """Write at the rate of the recording, 16 bits.

    Raises:
        OutputError: see `open_audio_writer`.
    """
    channels = piece.audio.shape[0]
    with open_audio_writer(path, piece.sample_rate, channels, force=True) as writer:
        writer.write(piece.audio)


def write_opus(piece: Piece, path: Path, kbps: float) -> None:
    """Write as Ogg Opus of about `kbps`, at the next rate that Opus takes.

    Raises:
        OutputError: see `atomic_output`.
    """
    channels = piece.audio.shape[0]
    rate = next((r for r in _OPUS_RATES if r >= piece.sample_rate), _OPUS_RATES[-1])
    resampler = Resampler(piece.sample_rate, rate, channels)
    audio = np.concatenate((resampler.push(piece.audio), resampler.finish()), axis=1)
    audio = np.clip(audio, -1.0, 1.0)
    # libsndfile maps its levels 0 to 1 to 256 to 6 kb/s a channel.
    level = float(np.clip((256 - kbps / channels) / 250, 0, 1))
    with (
        atomic_output(path, force=True) as file,
        soundfile.SoundFile(
            file.fileno(),
            "w",
            rate,
            channels,
            format="OGG",
            subtype="OPUS",
            closefd=False,
            compression_level=level,
        ) as sound,
    ):
        for start in range(0, audio.shape[1], _BLOCK):
            sound.write(np.ascontiguousarray(audio[:, start : start + _BLOCK].T))
