"""Decoded blocks on their way to the writer: cut to length, resampled, lowered."""

import tempfile
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack

import numpy as np

from encodec_cli.audio import Resampler, resampled_length
from encodec_cli.container import ChunkSource
from encodec_cli.errors import ContainerError, parameter
from encodec_cli.stream.buffer import Buffer
from encodec_cli.stream.protocols import Samples

__all__ = ["all_but", "resampled", "rescaled"]

_FULL_SCALE = 1.0 - 2.0**-15


def all_but(
    spare: int, pieces: Iterable[Samples], channels: int
) -> Generator[Samples, None, tuple[Samples, int]]:
    """Yield all but the last `spare` samples; return those, and how many came before them."""
    held = Buffer(channels)
    position = 0
    for piece in pieces:
        held.append(piece.T)
        ready = held.rows - spare
        if ready > 0:
            yield held.take(ready).T
            position += ready
    return held.take(held.rows).T, position


def resampled(
    blocks: Iterator[Samples],
    reader: ChunkSource,
    rate: int,
    origin: int,
    *,
    channels: int,
    exact: bool,
) -> Iterator[Samples]:
    """Blocks, which start at sample `origin` of `rate` and have `channels`, at `rate`.

    With `exact` they end where the source did.
    """
    own = reader.play_rate
    resampler = Resampler(own, rate, channels)
    # Up and down again may end a few samples late: those are held until the length is known.
    spare = resampled_length(2, own, rate) if exact else 0

    def pushed() -> Iterator[Samples]:
        for block in blocks:  # files choose how long one is: a second at a time
            for start in range(0, block.shape[1], own):
                yield resampler.push(block[:, start : start + own])
        yield resampler.finish()

    held, position = yield from all_but(spare, pushed(), channels)
    position += origin
    wanted = reader.source_num_samples if exact else None
    end = held.shape[1] if wanted is None else wanted - position
    # What the file says is not to be trusted with memory, nor to pass for what was decoded.
    if not 0 <= end <= held.shape[1] + spare:
        raise ContainerError(
            f"says {wanted} samples at the source's {rate} Hz, "
            f"but holds {position + held.shape[1]}; decode it without "
            f"{parameter('sample_rate', 'source')}"
        )
    if end > 0:
        yield np.pad(held, ((0, 0), (0, max(0, end - held.shape[1]))))[:, :end]


def rescaled(
    blocks: Iterable[Samples], channels: int, stack: ExitStack
) -> tuple[Iterator[Samples], float]:
    """The blocks multiplied so that no peak exceeds full scale, and the factor.

    The peak is known only at the end, so the blocks wait in a temporary file, not in memory.
    """
    spool = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it
    peak, sizes = 0.0, []
    for block in blocks:
        peak = max(peak, float(np.abs(block).max(initial=0.0)))
        spool.write(np.ascontiguousarray(block).tobytes())
        sizes.append(block.shape[1])
    gain = min(1.0, _FULL_SCALE / peak) if peak > 0 else 1.0
    spool.seek(0)

    def scaled() -> Iterator[Samples]:
        for size in sizes:
            data = np.frombuffer(spool.read(4 * channels * size), dtype=np.float32)
            yield data.reshape(channels, size) * np.float32(gain)

    return scaled(), gain
