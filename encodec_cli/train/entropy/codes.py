"""Codes that a code model learns from: those that `encode` makes, at every trained K, on disk.

    recordings --read, mix, resample--> [C, N] --level, encoder--> latents --searches--> codes
                                                                         at K = 2, 4, 8, 16

Recordings go into shards of 64, each complete or absent, so that a run that was stopped goes on
where it was. A shard's name is the hash of what it was made from.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encodec_cli.audio import open_audio, prepare_blocks
from encodec_cli.errors import EncodecCliError
from encodec_cli.io.files import atomic_output
from encodec_cli.model.codec import Codec
from encodec_cli.stream.encoder import stream_encoder

__all__ = ["CodedRecording", "Source", "make_codes", "trained_codebooks"]

_PER_SHARD = 64
_LAYOUT = 1
_READ_SECONDS = 10


@dataclass(frozen=True)
class Source:
    """A recording to code, and its kind ("" if nobody says)."""

    path: Path
    kind: str


@dataclass(frozen=True, eq=False)
class CodedRecording:
    """What `encode` makes of one recording."""

    name: str
    kind: str
    chunks: NDArray[np.int32]
    """Frames of each chunk, `[n]`."""
    codes: dict[int, NDArray[np.uint16]]
    """Codes `[K, T]` of all chunks together, by K."""


def trained_codebooks(codec: Codec) -> list[int]:
    """The K of the bandwidths that `codec` was trained for, in rising order."""
    return sorted({codec.config.codebooks_for(kbps) for kbps in codec.target_bandwidths})


def make_codes(
    codec: Codec,
    sources: Sequence[Source],
    folder: Path,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
    skipped: Callable[[str], None] = lambda why: None,
) -> Iterator[CodedRecording]:
    """All of `sources` coded, in an order that mixes kinds; what `folder` has is not made again.

    `progress` is told the recordings done and in all, `skipped` why one cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mixed = sorted(sources, key=lambda s: hashlib.sha256(str(s.path).encode()).digest())
    for first in range(0, len(mixed), _PER_SHARD):
        progress(first, len(mixed))
        some = mixed[first : first + _PER_SHARD]
        shard = folder / f"{_shard_name(codec.sha256, some)}.npz"
        if not shard.exists():
            _write_shard(shard, list(_code(codec, some, skipped)))
        yield from _read_shard(shard)
    progress(len(mixed), len(mixed))


def _shard_name(model_sha256: str | None, sources: list[Source]) -> str:
    digest = hashlib.sha256(f"{_LAYOUT} {model_sha256}".encode())
    for source in sources:
        size = source.path.stat().st_size if source.path.exists() else 0
        digest.update(f"\n{source.path.resolve()} {source.kind} {size}".encode())
    return digest.hexdigest()[:24]


def _code(
    codec: Codec, sources: list[Source], skipped: Callable[[str], None]
) -> Iterator[CodedRecording]:
    for source in sources:
        try:
            chunks = _code_one(codec, source.path)
        except EncodecCliError as error:
            skipped(str(error))
            continue
        if chunks:
            frames = np.array([next(iter(c.values())).shape[1] for c in chunks], np.int32)
            codes = {k: np.concatenate([c[k] for c in chunks], axis=1) for k in chunks[0]}
            yield CodedRecording(source.path.name, source.kind, frames, codes)


def _code_one(codec: Codec, path: Path) -> list[dict[int, NDArray[np.uint16]]]:
    """Codes of each chunk, by K; one encoder serves all K, as latents do not depend on it."""
    depths, beams = trained_codebooks(codec), codec.config.search
    encoder, quantizer = stream_encoder(codec, depths[-1]), codec.engine.quantizer()
    with open_audio(path) as reader:
        block = _READ_SECONDS * reader.sample_rate
        blocks = prepare_blocks(reader, codec.sample_rate, codec.channels, block)
        return [
            {k: quantizer.encode(chunk.latents, k, beams) for k in depths}
            for chunk in encoder.latents(blocks)
        ]


def _write_shard(path: Path, recordings: list[CodedRecording]) -> None:
    depths = sorted({k for r in recordings for k in r.codes})
    codes = {f"k{k}": np.concatenate([r.codes[k] for r in recordings], axis=1) for k in depths}
    with atomic_output(path, force=True) as file:
        np.savez(
            file,
            name=np.array([r.name for r in recordings], np.str_),
            kind=np.array([r.kind for r in recordings], np.str_),
            count=np.array([len(r.chunks) for r in recordings], np.int32),
            chunks=np.concatenate([np.zeros(0, np.int32), *(r.chunks for r in recordings)]),
            allow_pickle=False,
            **codes,
        )


def _read_shard(path: Path) -> Iterator[CodedRecording]:
    with np.load(path, allow_pickle=False) as data:
        arrays = dict(data)
    codes = {int(name[1:]): value for name, value in arrays.items() if name[1:].isdigit()}
    start = chunk = 0
    for name, kind, count in zip(arrays["name"], arrays["kind"], arrays["count"], strict=True):
        chunks = arrays["chunks"][chunk : chunk + count]
        end = start + int(chunks.sum())
        own = {k: value[:, start:end] for k, value in sorted(codes.items())}
        yield CodedRecording(str(name), str(kind), chunks, own)
        start, chunk = end, chunk + count
