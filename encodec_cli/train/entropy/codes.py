"""Codes that a code model learns from: those that `encode` makes, at every trained K, on disk.

    recordings --read, mix, resample--> [C, N] --level, encoder--> latents --one search--> codes
                                                                         at K = 2, 4, 8, 16

Recordings go into shards of 64, each complete or absent, so that a run that was stopped goes on
where it was. A shard's name is the hash of what it was made from.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encodec_cli.audio import open_audio, prepare_blocks
from encodec_cli.coder import stream_encoder
from encodec_cli.engine import Engine, Stepper
from encodec_cli.errors import EncodecCliError
from encodec_cli.files import atomic_output
from encodec_cli.frames import CodeChunk
from encodec_cli.model import CompressionModel
from encodec_cli.nn.search import nested_beam_search

__all__ = ["CodedRecording", "Source", "make_codes", "trained_codebooks"]

_PER_SHARD = 64
_LAYOUT = 1


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


def trained_codebooks(model: CompressionModel) -> list[int]:
    """The K of the bandwidths that `model` was trained for, in rising order."""
    return sorted({model.config.codebooks_for(kbps) for kbps in model.target_bandwidths})


def make_codes(
    model: CompressionModel,
    sources: Sequence[Source],
    folder: Path,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
    skipped: Callable[[str], None] = lambda why: None,
) -> Iterator[CodedRecording]:
    """All of `sources` coded, in an order that mixes kinds; what `folder` has is not made again.

    `progress` is told the recordings done and in all, `skipped` why one cannot be read.
    """
    assert model.sha256 is not None  # models from files have one
    folder.mkdir(parents=True, exist_ok=True)
    mixed = sorted(sources, key=lambda s: hashlib.sha256(str(s.path).encode()).digest())
    for first in range(0, len(mixed), _PER_SHARD):
        progress(first, len(mixed))
        some = mixed[first : first + _PER_SHARD]
        shard = folder / f"{_shard_name(model.sha256, some)}.npz"
        if not shard.exists():
            _write_shard(shard, list(_code(model, some, skipped)))
        yield from _read_shard(shard)
    progress(len(mixed), len(mixed))


def _shard_name(model_sha256: str, sources: list[Source]) -> str:
    digest = hashlib.sha256(f"{_LAYOUT} {model_sha256}".encode())
    for source in sources:
        size = source.path.stat().st_size if source.path.exists() else 0
        digest.update(f"\n{source.path.resolve()} {source.kind} {size}".encode())
    return digest.hexdigest()[:24]


class _EveryDepth:
    """A model's engine whose search keeps the codes of each K of `depths`."""

    def __init__(self, model: CompressionModel, depths: list[int]) -> None:
        self._inner: Engine = model.engine()
        self._depths = depths
        self._tables = model.quantizer.tables(max(depths))
        self._found: list[list[NDArray[np.uint16]]] = [[] for _ in depths]

    def encoder(self, block_frames: int | None) -> Stepper:
        return self._inner.encoder(block_frames)

    def decoder(self, block_frames: int | None) -> Stepper:
        return self._inner.decoder(block_frames)

    def dequantize(self, codes: Tensor) -> Tensor:
        return self._inner.dequantize(codes)

    def quantize(self, latents: Tensor, n_q: int, beams: int = 1) -> Tensor:
        exact = latents.to(torch.promote_types(latents.dtype, torch.float32))
        codes = nested_beam_search(exact, self._tables, beams, self._depths)
        for kept, found in zip(self._found, codes, strict=True):
            kept.append(found.cpu().numpy().astype(np.uint16))
        return codes[-1]

    def take(self) -> dict[int, NDArray[np.uint16]]:
        """The codes `[K, T]` of all that was quantized since the last call."""
        taken = {
            k: np.concatenate([np.zeros((k, 0), np.uint16), *kept], axis=1)
            for k, kept in zip(self._depths, self._found, strict=True)
        }
        self._found = [[] for _ in self._depths]
        return taken


def _code(
    model: CompressionModel, sources: list[Source], skipped: Callable[[str], None]
) -> Iterator[CodedRecording]:
    depths = trained_codebooks(model)
    engine = _EveryDepth(model, depths)
    running = model.running_on(engine)
    for source in sources:
        encoder = stream_encoder(running, max(depths))
        chunks: list[CodeChunk] = []
        try:
            with open_audio(source.path) as reader:
                rate, channels = model.sample_rate, model.channels
                for block in prepare_blocks(reader, rate, channels, 10 * reader.sample_rate):
                    chunks += encoder.push(block)
        except EncodecCliError as error:
            engine.take()
            skipped(str(error))
            continue
        chunks += encoder.finish()
        if chunks:
            frames = np.array([chunk.codes.shape[1] for chunk in chunks], np.int32)
            yield CodedRecording(source.path.name, source.kind, frames, engine.take())


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
