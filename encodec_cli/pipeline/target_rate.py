"""Files of a given mean rate: enough codebooks, and a search that gives bits a price.

    pass 1   recording --network, greedy search--> codes --code model--> bits of every codebook in
             every chunk: how many codebooks it takes, and what each chunk will need
    pass 2   recording --network--> latents of a group of chunks --priced search--> its codes
                                     strength of the price <-- bytes that are left for the file

What a group takes too much or too little is the next ones' to make up for. The last one is
searched until the file has the rate.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from encodec_cli.config.codec import CodecConfig
from encodec_cli.container import Header
from encodec_cli.container.codes import CodeChunk
from encodec_cli.container.v2_header import build_header
from encodec_cli.entropy.integer.model import CodeModel
from encodec_cli.entropy.library import code_model_named
from encodec_cli.errors import UsageError, parameter
from encodec_cli.model.codec import Codec
from encodec_cli.pipeline.reports import EncodeReport, Place
from encodec_cli.stream.encoder import ChunkLatents
from encodec_cli.stream.headers import header_for

if TYPE_CHECKING:
    from encodec_cli.pipeline.encode import EncodeOptions

__all__ = ["Coded", "RatePlan", "check_source", "plan_rate", "target_coder"]

_MET = 0.02
"""Share of a target that a rate may be off."""
_OWN = 5
"""Up to so many codebooks, what they take is found out for each number of them by itself."""
_RESERVE_OWN, _RESERVE = 1.02, 1.04
"""What the plain search has to take of the target by the greedy codes, which take up to 3 % more;
the larger where K is beyond `_OWN`."""
_DEAR = 0.4
"""Up to here from K - 1 codebooks' bytes to those of K, K - 1 codebooks sound better."""
_CHUNK_BYTES = 9
"""Of a chunk beside its codes, about."""
_END_BYTES = 18
"""Of an end record beside its index, about."""


class Coded(Protocol):
    """A recording on its way to codes; see `pipeline.encode.Encoding`."""

    @property
    def header(self) -> Header: ...

    @property
    def chunks(self) -> Iterator[CodeChunk]: ...

    @property
    def latents(self) -> Iterator[ChunkLatents]: ...

    @property
    def samples(self) -> int: ...

    def quantize_priced(
        self, costs: CodeModel, chunks: Sequence[ChunkLatents], strength: float
    ) -> list[CodeChunk]: ...


@dataclass(frozen=True, eq=False)
class RatePlan:
    """What is known of a recording before it is coded at a rate.

    Attributes:
        codebooks: K, the fewest that take enough bytes.
        expected: bytes that each chunk would take in the plain search, about, `[chunks]`.
        budget: bytes that all chunks may take.
        coder: the code model that tells what codes take.
        enough: whether all codebooks that were looked at take as many.
        fewer: bytes that all chunks would take with a codebook less, about; 0 if K is 1.
    """

    codebooks: int
    expected: NDArray[np.float64]
    budget: float
    coder: CodeModel
    enough: bool
    fewer: float = 0.0

    @classmethod
    def of(cls, bits: NDArray[np.float64], budget: float, coder: CodeModel) -> "RatePlan":
        """From the bits `[chunks, K]` of 1, 2, ... K codebooks in the plain search."""
        expected = bits / 8 + _CHUNK_BYTES
        reserve = np.where(np.arange(bits.shape[1]) < _OWN, _RESERVE_OWN, _RESERVE)
        enough = expected.sum(axis=0) >= reserve * budget
        codebooks = int(enough.argmax()) + 1 if enough.any() else bits.shape[1]
        own = expected[:, codebooks - 1]
        fewer = float(expected[:, codebooks - 2].sum()) if codebooks > 1 else 0.0
        return cls(codebooks, own, budget, coder, bool(enough.any()), fewer)

    def notes(self, report: EncodeReport) -> tuple[str, ...]:
        """What to say of a file that has not the rate it was to have, or has it at a high price."""
        target, kbps = report.target_kbps or 0.0, report.kbps
        if abs(kbps - target) <= _MET * target:
            gap = float(self.expected.sum()) - self.fewer
            if self.codebooks == 1 or self.budget - self.fewer > _DEAR * gap:
                return ()
            # They were too few, which the greedy codes may hide.
            fewer = target * min(1.0, self.fewer / self.budget / _RESERVE_OWN)
            few = self.codebooks - 1
            books = "1 codebook takes" if few == 1 else f"{few} codebooks take"
            return (
                f"{books} about {fewer:.2f} kb/s without a target, and are likely to sound better",
            )
        why = "it cannot take less"
        if kbps < target:
            why = f"it takes no more with {report.codebooks} codebooks"
        return (f"has {kbps:.2f} kb/s, not {target:g}: {why}",)


def plan_rate(
    coded: Callable[[int], AbstractContextManager[Coded]],
    coder: CodeModel,
    config: CodecConfig,
    target_kbps: float,
    most: int,
) -> RatePlan:
    """What a recording takes; `coded` codes it, each time anew, with a number of codebooks.

    Up to `most` codebooks are looked at, no more than are likely to be needed first.
    """
    depth = min(most, 2 + math.ceil(2 * target_kbps / config.bandwidth_kbps(1)))
    while True:
        with coded(depth) as recording:
            bits = [_bits(coder, chunk.codes) for chunk in recording.chunks]
            budget = target_kbps * 125 * recording.samples / config.sample_rate
            budget -= len(build_header(recording.header)) + _END_BYTES
        plan = RatePlan.of(np.reshape(bits, (-1, depth)), budget, coder)
        if plan.enough or depth == most:
            return plan
        depth = min(most, 2 * depth)


def _bits(coder: CodeModel, codes: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Bits of the first 1, 2, ... K codebooks of a chunk `[K, T]`, `[K]`.

    What few codebooks take is told too low by the bits of more, each of which helps to guess the
    next frame.
    """
    found = np.cumsum(coder.bits(codes))
    for k in range(1, min(_OWN, len(codes)) + 1):
        found[k - 1] = coder.bits(codes[:k]).sum()
    return found


def target_coder(codec: Codec, options: "EncodeOptions") -> CodeModel:
    """The code model that tells what codes of a file with a target rate take.

    Raises:
        UsageError: there is none, or such a file cannot have a target.
    """
    name, kbps = parameter("target_kbps"), options.target_kbps or 0.0
    if not 0 < kbps < math.inf:
        raise UsageError(f"{name}: {kbps:g} kb/s: give a number above 0")
    if options.version != 2 or options.code_models is None:
        raise UsageError(f"{name}: takes entropy coding, which is of format 2")
    if options.latency_ms is not None:
        raise UsageError(
            f"{name}: takes all of a recording at once; leave out {parameter('latency_ms')}"
        )
    named = header_for(codec, 1, code_models=options.code_models).code_model
    found = None if named is None else code_model_named(named, options.code_models)
    if found is None:
        raise UsageError(
            f"{name}: takes a code model, and {codec.config.name} has none here; name its file "
            f"with {parameter('code_model')}, or make one with encodec-cli train-entropy"
        )
    return found.model


def check_source(source: Place) -> None:
    """Refuse what cannot be read twice.

    Raises:
        UsageError: it is a pipe.
    """
    if source == "-" or (source.exists() and not source.is_file() and not source.is_dir()):
        raise UsageError(
            f"{parameter('target_kbps')}: the recording is read twice, which a pipe cannot be; "
            "save it as a file first"
        )
