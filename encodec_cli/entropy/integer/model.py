"""A code model: how probable the codes of one audio model are, in a file of its own.

The file is safetensors: the arrays of `weights`, and in the header's metadata `format` =
"encodec-cli-codes", `format_version`, `sizes` (JSON), and `model`, the SHA-256 by which `.ecdc`
files name the audio model whose codes these are.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from encodec_cli.entropy.integer.coding import (
    code_bits,
    code_frequencies,
    decode_runs,
    encode_runs,
)
from encodec_cli.entropy.integer.network import IntegerNetwork
from encodec_cli.entropy.integer.prices import ChunkPrices
from encodec_cli.entropy.integer.sizes import Sizes
from encodec_cli.entropy.integer.weights import (
    Arrays,
    canonical_hash,
    check_arrays,
    sizes_from_json,
)
from encodec_cli.errors import CheckpointError, ContainerError

__all__ = ["FORMAT", "FORMAT_VERSION", "CodeModel"]

FORMAT = "encodec-cli-codes"
FORMAT_VERSION = 1
_MOST_BYTES = 1 << 24
_MOST_HEADER = 1 << 16


class CodeModel:
    """Codes of chunks to bytes and back, the same on every machine.

    Nothing here is changed by use: threads can share one.

    Raises:
        CheckpointError: arrays that do not fit `sizes`, or whose sums could overflow; `where`
            says what they came from.
    """

    def __init__(
        self,
        arrays: Arrays,
        sizes: Sizes,
        model_sha256: str,
        *,
        metadata: Mapping[str, str] | None = None,
        where: str = "code model",
    ) -> None:
        check_arrays(arrays, sizes, where)
        self.sizes = sizes
        self.bins = sizes.bins
        """Codes of a codebook."""
        self.codebooks = sizes.codebooks
        """The most codebooks K of a chunk."""
        self.model_sha256 = model_sha256
        """Which audio model the codes are of."""
        self.metadata = dict(metadata or {})
        """What else the file says, for people."""
        self.sha256 = canonical_hash(arrays, sizes)
        """Names this code model in files: equal if and only if it writes the same bytes."""
        self._network = IntegerNetwork(arrays, sizes)

    @classmethod
    def load(cls, path: Path) -> "CodeModel":
        """The code model in a file.

        Raises:
            CheckpointError: cannot be read, is no code model, is damaged, or is too large.
        """
        try:
            if path.stat().st_size > _MOST_BYTES:
                raise CheckpointError(f"{path}: too large for a code model")
            data = path.read_bytes()
        except OSError as error:
            raise CheckpointError(f"{path}: cannot read: {error.strerror}") from error
        metadata = _metadata(data, path)
        try:
            arrays = load(data)
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            line = " ".join(str(error).split())
            raise CheckpointError(f"{path}: damaged: {line}") from error
        sizes = sizes_from_json(metadata.get("sizes", ""), str(path))
        return cls(arrays, sizes, metadata.get("model", ""), metadata=metadata, where=str(path))

    def encode_chunks(self, chunks: Sequence[NDArray[np.uint16]]) -> list[bytes]:
        """The run of each chunk `[K, T]`, T >= 0, which `decode_chunks` needs whole.

        Many at once take less time than one by one.

        Raises:
            ContainerError: not uint16 [K, T] with K up to `codebooks`, or codes beyond `bins`.
        """
        for chunk in chunks:
            self._check(chunk)
        runs = [b""] * len(chunks)
        for alike in _alike([chunk.shape[0] for chunk in chunks]).values():
            some = [i for i in alike if chunks[i].size]
            found = encode_runs(self._network, [chunks[i] for i in some])
            for i, run in zip(some, found, strict=True):
                runs[i] = run
        return runs

    def decode_chunks(self, runs: Sequence[tuple[bytes, int, int]]) -> list[NDArray[np.uint16]]:
        """Codes `[K, T]` of each of `runs`, its bytes with K and T.

        Many at once take much less time than one by one. Every code depends on all before it, so
        fewer codebooks are had by decoding all and taking the first. Damaged bytes give some
        codes, in the same time.

        Raises:
            ContainerError: K that the model has not, or a negative T.
        """
        chunks = [np.zeros((0, 0), np.uint16)] * len(runs)
        for k, some in _alike([k for _, k, _ in runs]).items():
            self._check_codebooks(k)
            data, frames = [runs[i][0] for i in some], [runs[i][2] for i in some]
            if min(frames) < 0:
                raise ContainerError(f"a chunk of {min(frames)} frames")
            found = decode_runs(self._network, data, k, frames)
            for i, codes in zip(some, found, strict=True):
                chunks[i] = codes
        return chunks

    def frequencies(self, chunk: NDArray[np.uint16]) -> NDArray[np.uint32]:
        """How often each code is to be expected where each of a chunk `[K, T]` stands.

        `[T, K, bins]`, 1 to 2 ** 16 + 1; `encode_chunks` shares the range out in proportion.

        Raises:
            ContainerError: see `encode_chunks`.
        """
        self._check(chunk)
        return code_frequencies(self._network, chunk)

    def bits(self, chunk: NDArray[np.uint16]) -> NDArray[np.float64]:
        """Bits that the codes of each codebook of a chunk `[K, T]` take, `[K]`.

        Raises:
            ContainerError: see `encode_chunks`.
        """
        self._check(chunk)
        return code_bits(self._network, chunk)

    def prices(self, codebooks: int, chunks: int) -> ChunkPrices:
        """What codes of so many new chunks take while they are chosen; see `ChunkPrices`.

        Raises:
            ContainerError: more codebooks than there are.
        """
        self._check_codebooks(codebooks)
        return ChunkPrices(self._network, codebooks, chunks)

    def _check(self, chunk: NDArray[np.uint16]) -> None:
        if chunk.dtype != np.uint16 or chunk.ndim != 2:
            raise ContainerError(f"codes must be uint16 [K, T], not {chunk.dtype} {chunk.shape}")
        self._check_codebooks(chunk.shape[0])
        if chunk.size and int(chunk.max()) >= self.bins:
            raise ContainerError(f"code {int(chunk.max())}: there are 0 to {self.bins - 1}")

    def _check_codebooks(self, codebooks: int) -> None:
        if not 1 <= codebooks <= self.codebooks:
            raise ContainerError(f"{codebooks} codebooks: the code model has 1 to {self.codebooks}")


def _metadata(data: bytes, path: Path) -> dict[str, str]:
    """The header's metadata, of the format and version that this program reads."""
    try:
        size = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + min(size, _MOST_HEADER)])["__metadata__"]
        metadata = {str(key): str(value) for key, value in metadata.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path}: not a code model") from error
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not a code model (its metadata lacks format: {FORMAT})")
    if metadata.get("format_version") != str(FORMAT_VERSION):
        raise CheckpointError(
            f"{path}: code model of version {metadata.get('format_version')}; this program reads "
            f"{FORMAT_VERSION}; upgrade encodec-cli"
        )
    return metadata


def _alike(codebooks: Sequence[int]) -> dict[int, list[int]]:
    """Which chunks have K codebooks, by K."""
    found: dict[int, list[int]] = {}
    for i, k in enumerate(codebooks):
        found.setdefault(k, []).append(i)
    return found
