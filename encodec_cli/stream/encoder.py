"""Audio to code chunks, as a stream of any pushes, in constant memory.

    samples [C, n] --push--> blocks of a fixed grid --encoder--> latents [T, D]
                                          latents of one chunk --search--> CodeChunk [K, T]

The network always runs on the same grid of blocks, whatever the caller pushes, so codes do not
depend on the pushes. Whole signals carry each layer's state from block to block, and a model with
a level gets each chunk at that level (gain.py). Segment models (those with a time norm: EnCodec
48 kHz) code each segment by itself.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

import numpy as np

from encodec_cli.config.codec import MOST_BEAMS
from encodec_cli.config.timing import encoder_lookahead, end_padding
from encodec_cli.container.codes import CodeChunk
from encodec_cli.errors import UsageError, parameter
from encodec_cli.model.codec import Codec, Model, codec_of
from encodec_cli.runtime.priced_search import PricedCodes, encode_priced
from encodec_cli.runtime.protocol import Rows, Stepper
from encodec_cli.stream.buffer import Buffer
from encodec_cli.stream.fitting import FittingStepper
from encodec_cli.stream.gain import Leveller
from encodec_cli.stream.protocols import Samples, check_samples
from encodec_cli.stream.refining import RefiningStepper

__all__ = ["ChunkEncoder", "ChunkLatents", "stream_encoder"]

_MOST_STEPS = 1000
"""Of fitting; more change nothing."""


def stream_encoder(
    model: Model,
    n_q: int,
    *,
    chunk_frames: int | None = None,
    search: int | None = None,
    refine: bool = False,
    fit: int = 0,
) -> "ChunkEncoder":
    """A new stream of `n_q` codebooks.

    `chunk_frames` is the number of frames per chunk, about one second unless given: a chunk is
    given as soon as its samples, and what the model looks ahead, have been pushed. Codes depend
    on it at near-ties only. Segment models make one chunk per segment.

    `search` is how many partial code sequences the encoder keeps: 1 is greedy, None what the
    model's config says. With `refine` latents are corrected once by what they decode to (see
    `refining`), and come later by what the decoder looks ahead. With `fit` above 0 they are then
    fitted to the recording by so many steps (see `fitting`), which takes much longer.

    Raises:
        UsageError: the model has not that many codebooks; `search` or `fit` out of range;
            segments, which are neither refined nor fitted.
    """
    codec = codec_of(model)
    config = codec.config
    config.check_codebooks(n_q)
    if search is None:
        search = config.search
    if not 1 <= search <= MOST_BEAMS:
        raise UsageError(f"search {search}: the encoder keeps 1 to {MOST_BEAMS} sequences")
    if not 0 <= fit <= _MOST_STEPS:
        raise UsageError(f"{parameter('fit', fit)}: give 0 to {_MOST_STEPS} steps")
    if config.segment_samples is not None:
        for option, given in (("refine", refine), ("fit", fit)):
            if given:
                raise UsageError(f"{parameter(option)}: {config.name} codes segments; leave it out")
        return ChunkEncoder(codec, _SegmentLatents(codec), n_q, search)
    chunk_frames = chunk_frames or config.chunk_frames
    network = codec.engine.encoder(chunk_frames)
    if refine or fit:
        network = RefiningStepper(codec, network, chunk_frames, n_q)
    if fit:
        network = FittingStepper(codec, network, chunk_frames, n_q, fit)
    latents = _WholeLatents(codec, chunk_frames, network)
    return ChunkEncoder(codec, latents, n_q, search)


@dataclass(frozen=True, eq=False)
class ChunkLatents:
    """What the network makes of one chunk's audio: latents `[T, D]`, and the chunk's scale."""

    latents: Rows
    scale: float | None


class _LatentStream(Protocol):
    """The first half of an encoder, from samples to the latents of chunks."""

    def push(self, samples: Samples) -> Iterator[ChunkLatents]:
        """The chunks that the next samples `[C, n]` complete."""

    def finish(self) -> Iterator[ChunkLatents]:
        """The chunks still to come."""


class ChunkEncoder:
    """A `StreamEncoder` in two halves, which `latents` and `quantize` let two threads share."""

    def __init__(self, codec: Codec, stream: _LatentStream, n_q: int, search: int) -> None:
        self._channels = codec.channels
        self._quantizer = codec.engine.quantizer()
        self._stream = stream
        self._n_q = n_q
        self._search = search

    def push(self, samples: Samples) -> list[CodeChunk]:
        """See `StreamEncoder.push`."""
        check_samples(samples, self._channels)
        return [self.quantize(chunk) for chunk in self._stream.push(samples)]

    def finish(self) -> list[CodeChunk]:
        """See `StreamEncoder.finish`."""
        return [self.quantize(chunk) for chunk in self._stream.finish()]

    def latents(self, blocks: Iterable[Samples]) -> Iterator[ChunkLatents]:
        """All chunks of a stream before the search.

        Its samples `[C, n]` come as `blocks`, such as `prepare_blocks` gives; they are not checked.
        """
        return chain(chain.from_iterable(map(self._stream.push, blocks)), self._stream.finish())

    def quantize(self, chunk: ChunkLatents) -> CodeChunk:
        """The codes of a chunk."""
        codes = self._quantizer.encode(chunk.latents, self._n_q, self._search)
        return CodeChunk(codes, chunk.scale)

    def quantize_priced(
        self, costs: PricedCodes, chunks: Sequence[ChunkLatents], strength: float
    ) -> list[CodeChunk]:
        """The codes of chunks, fewer bytes of them the more `strength` there is from 0 up.

        See `encode_priced`.
        """
        if not strength:
            return [self.quantize(chunk) for chunk in chunks]
        latents = [chunk.latents for chunk in chunks]
        found = encode_priced(self._quantizer, latents, self._n_q, self._search, costs, strength)
        return [CodeChunk(codes, chunk.scale) for codes, chunk in zip(found, chunks, strict=True)]


class _WholeLatents:
    """Blocks of one signal, the network's state going along."""

    def __init__(self, codec: Codec, chunk_frames: int, network: Stepper) -> None:
        config = codec.config
        self._chunk_frames = chunk_frames
        self._block = chunk_frames * config.hop_length
        # The first step takes the look-ahead too, so that each step completes a chunk.
        self._wanted = self._block + encoder_lookahead(config.seanet)
        self._padding = end_padding(config)
        self._leveller = None if config.level_db is None else Leveller(config, chunk_frames)
        self._unlevelled = Buffer(config.channels)
        self._samples = Buffer(config.channels)
        self._latents = Buffer(config.seanet.dimension)
        self._network = network
        self._state = self._network.new_state()
        self._channels = config.channels
        self._began = False

    def push(self, samples: Samples) -> Iterator[ChunkLatents]:
        rows = _rows(samples)
        self._began |= len(rows) > 0
        if self._leveller is None:
            yield from self._code(rows)
            return
        self._unlevelled.append(rows)
        while self._unlevelled.rows >= self._block:
            yield from self._code(self._leveller.level(self._unlevelled.take(self._block)))

    def finish(self) -> Iterator[ChunkLatents]:
        if self._leveller is not None and self._unlevelled.rows:
            yield from self._code(self._leveller.level(self._unlevelled.take(self._block)))
        if self._began:
            yield from self._code(np.zeros((self._padding, self._channels), np.float32))
        yield from self._step(self._samples.take(self._samples.rows), last=True)

    def _code(self, rows: Rows) -> Iterator[ChunkLatents]:
        self._samples.append(rows)
        while self._samples.rows >= self._wanted:
            block = self._samples.take(self._wanted)
            self._wanted = self._block
            yield from self._step(block, last=False)

    def _step(self, rows: Rows, *, last: bool) -> Iterator[ChunkLatents]:
        [latents] = self._network.step([rows], [self._state], [last])
        self._latents.append(latents)
        size = self._chunk_frames
        while self._latents.rows >= size or (last and self._latents.rows):
            scale = None if self._leveller is None else self._leveller.next_scale()
            yield ChunkLatents(self._latents.take(size), scale)


class _SegmentLatents:
    """Segments, each a signal of its own, divided by its RMS if the model normalises."""

    def __init__(self, codec: Codec) -> None:
        config = codec.config
        assert config.segment_samples is not None
        assert config.stride_samples is not None
        self._normalize = config.normalize
        self._segment, self._stride = config.segment_samples, config.stride_samples
        self._samples = Buffer(config.channels)
        self._network = codec.engine.encoder(None)

    def push(self, samples: Samples) -> Iterator[ChunkLatents]:
        self._samples.append(_rows(samples))
        while self._samples.rows >= self._segment:
            yield self._encode()

    def finish(self) -> Iterator[ChunkLatents]:
        # Every multiple of the stride below the end starts a segment, however short.
        while self._samples.rows:
            yield self._encode()

    def _encode(self) -> ChunkLatents:
        overlap = max(0, min(self._segment, self._samples.rows) - self._stride)
        rows = self._samples.take(self._segment, keep=overlap)
        scale = None
        if self._normalize:
            mono = rows.mean(axis=1, dtype=np.float64)
            # As Meta's encodec has it; the 1e-8 keeps silence finite.
            scale = float(np.float32(np.sqrt(np.square(mono).mean()) + 1e-8))
            rows = rows / np.float32(scale)
        [latents] = self._network.step([rows], [self._network.new_state()], [True])
        return ChunkLatents(latents, scale)


def _rows(samples: Samples) -> Rows:
    """A copy `[n, C]` of samples `[C, n]`, for the caller may change those."""
    return np.array(samples.T, dtype=np.float32, order="C")
