"""Code chunks to audio, as a stream of any pushes, in constant memory.

    CodeChunk [K, T] --push--> latents [T, D] --blocks of a fixed grid--> decoder --> samples [C, n]

The network always runs on the same grid of blocks, so samples do not depend on how the codes were
cut. Whole signals carry each layer's state from block to block; the segments of segment models are
put together by overlap-add.
"""

import numpy as np
from numpy.typing import NDArray

from encodec_cli.config.codec import CodecConfig
from encodec_cli.errors import UsageError
from encodec_cli.model.codec import Codec, Model, codec_of
from encodec_cli.runtime.protocol import Rows
from encodec_cli.stream.gain import GainRestorer
from encodec_cli.stream.grid import Grid
from encodec_cli.stream.protocols import Samples, StreamDecoder

__all__ = ["stream_decoder"]


def stream_decoder(model: Model, *, block_frames: int | None = None) -> StreamDecoder:
    """A new stream; codes may have any number of codebooks the model has.

    The decoder runs on blocks of `block_frames` frames, as soon as each is complete; of about one
    second unless given, and at most (more would cost memory, and files choose it). The samples
    depend on it by rounding only. Segment models run on segments.
    """
    codec = codec_of(model)
    if codec.config.segment_samples is not None:
        return _SegmentDecoder(codec)
    most = codec.config.chunk_frames
    return _WholeDecoder(codec, min(block_frames or most, most))


class _WholeDecoder:
    def __init__(self, codec: Codec, block_frames: int) -> None:
        config = codec.config
        self._codec = codec
        self._quantizer = codec.engine.quantizer()
        network, dimension = codec.engine.decoder(block_frames), config.seanet.dimension
        self._grid = Grid(network, block_frames, dimension, config.channels)
        self._nothing = np.zeros((0, dimension), np.float32)
        self._gain = None if config.level_db is None else GainRestorer(config)

    def push(self, codes: NDArray[np.uint16], scale: float | None = None) -> Samples:
        _check(codes, self._codec.config)
        latents = self._quantizer.decode(codes)
        if self._gain is not None:
            self._gain.expect(len(latents), scale)
        return self._push(latents)

    def push_lost(self, frames: int) -> Samples:
        if self._gain is not None:
            self._gain.expect_lost(frames)
        return self._push(np.zeros((frames, self._codec.config.seanet.dimension), np.float32))

    def finish(self) -> Samples:
        return self._push(self._nothing, last=True)

    def _push(self, latents: Rows, *, last: bool = False) -> Samples:
        rows = self._grid.push(latents, last=last)
        return _samples(rows if self._gain is None else self._gain.restore(rows))


class _SegmentDecoder:
    """Overlap-add with triangular weights, as in Meta's `encodec.utils`.

    The weights are those of the first segment's length, cut to that of each segment, and what
    overlaps is divided by the sum of its weights.
    """

    def __init__(self, codec: Codec) -> None:
        assert codec.config.stride_samples is not None
        self._codec = codec
        self._stride = codec.config.stride_samples
        self._quantizer = codec.engine.quantizer()
        self._network = codec.engine.decoder(None)
        self._weights: Rows | None = None  # [n, 1]
        self._sum: Rows = np.zeros((0, codec.channels), np.float32)
        self._weight_sum: Rows = np.zeros((0, 1), np.float32)

    def push(self, codes: NDArray[np.uint16], scale: float | None = None) -> Samples:
        _check(codes, self._codec.config)
        latents = self._quantizer.decode(codes)
        [rows] = self._network.step([latents], [self._network.new_state()], [True])
        rows = rows.astype(np.float32)
        return self._add(rows if scale is None else rows * np.float32(scale))

    def push_lost(self, frames: int) -> Samples:
        samples = frames * self._codec.config.hop_length
        return self._add(np.zeros((samples, self._codec.channels), np.float32))

    def finish(self) -> Samples:
        return _samples(self._sum / self._weight_sum)

    def _add(self, segment: Rows) -> Samples:
        if self._weights is None:
            t = np.linspace(0, 1, len(segment) + 2, dtype=np.float32)[1:-1]
            self._weights = 0.5 - np.abs(t - np.float32(0.5))[:, None]
            ready = self._sum
        else:
            ready = self._sum[: self._stride] / self._weight_sum[: self._stride]
            self._sum = self._sum[self._stride :]
            self._weight_sum = self._weight_sum[self._stride :]
        weights = self._weights[: len(segment)]
        longer = max(0, len(segment) - len(self._sum))
        self._sum = np.pad(self._sum, ((0, longer), (0, 0)))
        self._weight_sum = np.pad(self._weight_sum, ((0, longer), (0, 0)))
        self._sum[: len(segment)] += segment * weights
        self._weight_sum[: len(segment)] += weights
        return _samples(ready)


def _check(codes: NDArray[np.uint16], config: CodecConfig) -> None:
    """Refuse codes `[K, T]` that a model has not.

    Raises:
        UsageError: more codebooks than the model has, or a code beyond its codebook.
    """
    config.check_codebooks(codes.shape[0])
    if codes.size and int(codes.max()) >= config.quantizer.bins:
        raise UsageError(
            f"code {int(codes.max())}: {config.name} has codes 0 to {config.quantizer.bins - 1}; "
            "were these made by another model?"
        )


def _samples(rows: Rows) -> Samples:
    """`[C, n]`, float32, of rows `[n, C]`."""
    return np.ascontiguousarray(rows.T, dtype=np.float32)
