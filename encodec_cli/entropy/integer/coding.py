"""Chunks of codes to bytes and back: the integer network and the range coder together.

    encode   all frames are known: context and frequencies of whole chunks, then chunk by chunk
             one run of frame after frame, codebook after codebook
    decode   frame by frame, codebook by codebook, many chunks side by side

Every chunk is a run of its own, and context begins anew in it.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from encodec_cli.entropy.integer.network import Floats, IntegerNetwork, Scratch
from encodec_cli.entropy.integer.range_coder import RangeDecoder, RangeDecoders, encode_run
from encodec_cli.entropy.integer.state import ContextState

__all__ = ["code_bits", "code_frequencies", "decode_runs", "encode_runs"]

Codes = NDArray[np.uint16]

_ROWS = 320
"""Frames whose frequencies are in memory at a time when encoding: they fit into the cache."""
_FRAMES = 2560
"""Frames of whole chunks that are encoded together."""
_LANES = 64
"""Chunks that are decoded together."""
_FEW = 4
"""From so many on, chunks take less time together than one by one."""


def encode_runs(network: IntegerNetwork, chunks: Sequence[Codes]) -> list[bytes]:
    """The run of each chunk `[K, T]`; all have the same K, and codes within their codebooks."""
    runs: list[bytes] = []
    for some in _together(chunks):
        runs += _encode(network, some)
    return runs


def decode_runs(
    network: IntegerNetwork, runs: Sequence[bytes], codebooks: int, frames: Sequence[int]
) -> list[Codes]:
    """Chunks `[K, T]` of runs of so many frames; some codes, whatever the bytes."""
    found: list[Codes] = [np.zeros((0, 0), np.uint16)] * len(runs)
    # Longest first: those that go on are always the first of their lanes.
    order = sorted(range(len(runs)), key=frames.__getitem__, reverse=True)
    for first in range(0, len(order), _LANES):
        lanes = order[first : first + _LANES]
        if len(lanes) < _FEW:
            for i in lanes:
                found[i] = _decode_alone(network, runs[i], codebooks, frames[i])
            continue
        codes = _decode(
            network, [runs[i] for i in lanes], codebooks, np.array([frames[i] for i in lanes])
        )
        for lane, i in enumerate(lanes):
            found[i] = np.ascontiguousarray(codes[lane, :, : frames[i]])
    return found


def _together(chunks: Sequence[Codes]) -> Iterator[list[Codes]]:
    """Neighbours, as many as are encoded at a time."""
    some: list[Codes] = []
    longest = 0
    for chunk in chunks:
        longest = max(longest, chunk.shape[1])
        if some and longest * (len(some) + 1) > _FRAMES:
            yield some
            some, longest = [], chunk.shape[1]
        some.append(chunk)
    if some:
        yield some


def code_frequencies(network: IntegerNetwork, chunk: Codes) -> NDArray[np.uint32]:
    """Frequencies of all codes where each of a chunk `[K, T]` stands, `[T, K, bins]`."""
    codes = chunk.T.astype(np.intp)
    found = np.zeros((*codes.shape, network.sizes.bins), np.uint32)
    for part, k, frequencies in _frequencies(network, _context(network, codes[None])[0], codes):
        found[part, k] = frequencies
    return found


def code_bits(network: IntegerNetwork, chunk: Codes) -> NDArray[np.float64]:
    """Bits that the codes of each codebook of a chunk `[K, T]` take, `[K]`."""
    codes = chunk.T.astype(np.intp)
    found = np.zeros(codes.shape[1])
    for part, k, frequencies in _frequencies(network, _context(network, codes[None])[0], codes):
        own = frequencies[np.arange(len(frequencies)), codes[part, k]]
        found[k] += np.log2(frequencies.sum(axis=1) / own).sum()
    return found


def _encode(network: IntegerNetwork, chunks: list[Codes]) -> list[bytes]:
    frames = [c.shape[1] for c in chunks]
    codes = np.zeros((len(chunks), max(frames), chunks[0].shape[0]), np.intp)
    for row, chunk in zip(codes, chunks, strict=True):
        row[: chunk.shape[1]] = chunk.T
    inside = np.arange(max(frames)) < np.array(frames)[:, None]
    context = _context(network, codes)[inside]
    codes = codes[inside]
    below, own, total = (np.zeros(codes.shape, np.int64) for _ in range(3))
    for part, k, frequencies in _frequencies(network, context, codes):
        code = codes[part, k]
        own[part, k] = frequencies[np.arange(len(code)), code]
        below[part, k], total[part, k] = _below_and_total(frequencies, code)
    runs, start = [], 0
    for count in frames:
        end = start + count
        each = [a[start:end].ravel().tolist() for a in (below, own, total)]
        runs.append(encode_run(*each))
        start = end
    return runs


def _context(network: IntegerNetwork, codes: NDArray[np.intp]) -> Floats:
    """Context `[B, T, C]` of the frames before each of codes `[B, T, K]`."""
    sums = network.no_sums(*codes.shape[:2])
    for k, book in enumerate(network.books(codes.shape[2])):
        sums += book.table[codes[..., k]]
    inputs = network.inputs(sums, out=sums)
    return network.context(inputs, network.sizes.tag(codes.shape[2]))


def _frequencies(
    network: IntegerNetwork, context: Floats, codes: NDArray[np.intp]
) -> Iterator[tuple[slice, int, NDArray[np.uint32]]]:
    """Some rows of codes `[M, K]`, a codebook, and its frequencies `[m, bins]` there; all once."""
    channels = network.sizes.channels
    scratch = Scratch(min(_ROWS, len(codes)), network.sizes)
    books = network.books(codes.shape[1])
    for start in range(0, len(codes), _ROWS):
        part = slice(start, min(start + _ROWS, len(codes)))
        known = network.known(part.stop - start)
        known[:, :channels] = context[part]
        inputs = known[:, channels:-1]
        sums = network.no_sums(len(known))
        for k, book in enumerate(books):
            network.inputs(sums, out=inputs)
            yield part, k, book.frequencies(known, scratch)
            sums += book.table[codes[part, k]]


def _below_and_total(
    frequencies: NDArray[np.uint32], codes: NDArray[np.intp]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of rows `[M, bins]`: the sums before each code `[M]`, and of all."""
    count, bins = frequencies.shape
    starts = np.empty(2 * count, np.intp)
    starts[0::2] = np.arange(count) * bins
    starts[1::2] = starts[0::2] + codes
    parts = np.add.reduceat(frequencies.ravel(), starts, dtype=np.uint32).astype(np.int64)
    # Of an empty part, before code 0, reduceat gives its first number.
    below = np.where(codes == 0, 0, parts[0::2])
    return below, below + parts[1::2]


def _decode(
    network: IntegerNetwork, runs: list[bytes], codebooks: int, frames: NDArray[np.intp]
) -> Codes:
    """Codes `[B, K, T]` of runs, longest first; what is beyond a run's frames is not meant."""
    tag, channels = network.sizes.tag(codebooks), network.sizes.channels
    codes = np.zeros((len(runs), codebooks, int(frames.max(initial=0))), np.uint16)
    decoders, state = RangeDecoders(runs), ContextState(network.context, tag, len(runs))
    known, start = network.known(len(runs)), network.no_sums(1)
    sums = np.tile(start, (len(runs), 1))
    scratch = Scratch(len(runs), network.sizes)
    books = network.books(codebooks)
    for frame in range(codes.shape[2]):
        lanes = int(np.searchsorted(-frames, -frame, side="left"))
        known, sums = known[:lanes], sums[:lanes]
        inputs = known[:, channels:-1]
        if frame:
            network.inputs(sums, out=inputs)
        known[:, :channels] = state.step(inputs)
        sums[:] = start
        for k, book in enumerate(books):
            network.inputs(sums, out=inputs)
            frequencies = book.frequencies(known, scratch)
            found = _decode_codes(decoders, frequencies, scratch)
            codes[:lanes, k, frame] = found
            sums += book.table[found]
    return codes


def _decode_alone(network: IntegerNetwork, run: bytes, codebooks: int, frames: int) -> Codes:
    """What `_decode` gives for one run."""
    tag, channels = network.sizes.tag(codebooks), network.sizes.channels
    codes = np.zeros((codebooks, frames), np.uint16)
    decoder, state = RangeDecoder(run), ContextState(network.context, tag, None)
    known, start = network.known(1)[0], network.no_sums(1)[0]
    inputs, sums = known[channels:-1], start.copy()
    scratch, bounds = Scratch(1, network.sizes), np.empty(network.sizes.bins, np.uint32)
    books = network.books(codebooks)
    for frame in range(frames):
        if frame:
            network.inputs(sums, out=inputs)
        known[:channels] = state.step(inputs)
        sums[:] = start
        for k, book in enumerate(books):
            network.inputs(sums, out=inputs)
            np.add.accumulate(book.frequencies(known, scratch), out=bounds)
            target = np.uint32(decoder.target(bounds.item(-1)))
            found = bounds.searchsorted(target, side="right")
            below = bounds.item(found - 1) if found else 0
            decoder.narrow(below, bounds.item(found) - below)
            codes[k, frame] = found
            sums += book.table[found]
    return codes


def _decode_codes(
    decoders: RangeDecoders, frequencies: NDArray[np.uint32], scratch: Scratch
) -> NDArray[np.intp]:
    """The next code `[B]` of each run, with its frequencies `[B, bins]`."""
    count, bins = frequencies.shape
    # One sum over all lanes, and one search in it.
    flat = frequencies.ravel()
    bounds = scratch.bounds[: len(flat)]
    np.copyto(bounds, flat)
    np.add.accumulate(bounds, out=bounds)
    ends = bounds[bins - 1 :: bins]
    starts = np.zeros(count, np.uint64)
    starts[1:] = ends[:-1]
    places = bounds.searchsorted(decoders.targets(ends - starts) + starts, side="right")
    own = flat[places].astype(np.uint64)
    decoders.narrow(bounds[places] - own - starts, own)
    codes: NDArray[np.intp] = places - np.arange(0, count * bins, bins)
    return codes
