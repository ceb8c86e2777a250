"""Audio to code chunks and back, as a stream of any pushes, in constant memory.

    samples [C, n] --push--> re-blocked to a fixed grid --encoder, RVQ--> CodeChunk [K, T]
    CodeChunk [K, T] --push--> RVQ, re-blocked to a fixed grid --decoder--> samples [C, n]

The network always runs on the same grid of blocks, whatever the caller pushes, so results do not
depend on the pushes. Whole-signal models carry each layer's state from block to block, and around
them the level of each chunk may be evened out (level.py); segment models (those with a time norm:
EnCodec 48 kHz) code each segment by itself and are put together by overlap-add.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encodec_cli.config.timing import carries_scale, encoder_lookahead, end_padding
from encodec_cli.container import default_chunk_frames
from encodec_cli.container.codes import CodeChunk
from encodec_cli.engine.search import MOST_BEAMS
from encodec_cli.errors import UsageError
from encodec_cli.model.module import CompressionModel
from encodec_cli.stream.gain import LevellingDecoder, LevellingEncoder
from encodec_cli.stream.protocols import Samples, StreamDecoder, StreamEncoder, check_samples

__all__ = ["StreamDecoder", "StreamEncoder", "grid_frames", "stream_decoder", "stream_encoder"]


def stream_encoder(
    model: CompressionModel,
    n_q: int,
    *,
    chunk_frames: int | None = None,
    search: int | None = None,
) -> StreamEncoder:
    """A new stream of `n_q` codebooks.

    `chunk_frames` is the number of frames per chunk, about one second unless given: a chunk is
    given as soon as its samples, and what the model looks ahead, have been pushed. Codes depend
    on it at near-ties only. Segment models make one chunk per segment.

    `search` is how many partial code sequences the encoder keeps, see `beam_search`: 1 is greedy,
    None what the model's config says.

    Raises:
        UsageError: the model has not that many codebooks; `search` out of range.
    """
    model.config.check_codebooks(n_q)
    if search is None:
        search = model.config.search
    if not 1 <= search <= MOST_BEAMS:
        raise UsageError(f"search {search}: the encoder keeps 1 to {MOST_BEAMS} sequences")
    if model.config.segment_samples is not None:
        return _SegmentEncoder(model, n_q, search)
    chunk_frames = chunk_frames or grid_frames(model)
    encoder = _WholeEncoder(model, n_q, chunk_frames, search)
    if carries_scale(model.config, chunk_frames):
        return LevellingEncoder(model.config, encoder, chunk_frames)
    return encoder


def stream_decoder(model: CompressionModel, *, block_frames: int | None = None) -> StreamDecoder:
    """A new stream; codes may have any number of codebooks the model has.

    The decoder runs on blocks of `block_frames` frames, as soon as each is complete; of about one
    second unless given, and at most (more would cost memory, and files choose it). The samples
    depend on it by rounding only. Segment models run on segments.
    """
    if model.config.segment_samples is not None:
        return _SegmentDecoder(model)
    block_frames = min(block_frames or grid_frames(model), grid_frames(model))
    decoder = _WholeDecoder(model, block_frames)
    return decoder if model.config.level_db is None else LevellingDecoder(model.config, decoder)


def grid_frames(model: CompressionModel) -> int:
    """Frames in one block of the grid unless told otherwise, about one second."""
    return default_chunk_frames(model.sample_rate, model.config.hop_length)


class _WholeEncoder:
    def __init__(self, model: CompressionModel, n_q: int, chunk_frames: int, search: int) -> None:
        self._model = model
        self._n_q = n_q
        self._search = search
        self._chunk_frames = chunk_frames
        # The first step takes the look-ahead too, so that each step completes a chunk.
        self._block = chunk_frames * model.config.hop_length
        self._wanted = self._block + encoder_lookahead(model.config.seanet)
        self._network = model.engine().encoder(chunk_frames)
        self._state = self._network.new_state()
        self._samples = torch.zeros(model.channels, 0)
        self._began = False
        self._latents: Tensor | None = None

    def push(self, samples: Samples) -> list[CodeChunk]:
        self._samples = torch.cat((self._samples, _tensor(samples, self._model.channels)), dim=1)
        self._began |= samples.shape[1] > 0
        chunks: list[CodeChunk] = []
        start = 0
        while self._samples.shape[1] - start >= self._wanted:
            chunks += self._step(self._samples[:, start : start + self._wanted], last=False)
            start += self._wanted
            self._wanted = self._block
        self._samples = self._samples[:, start:].clone()
        return chunks

    def finish(self) -> list[CodeChunk]:
        padding = end_padding(self._model.config) if self._began else 0
        chunks = self.push(_silence(self._model, padding))
        return chunks + self._step(self._samples, last=True)

    @torch.inference_mode()
    def _step(self, samples: Tensor, *, last: bool) -> list[CodeChunk]:
        size = self._chunk_frames
        rows = _like_weights(samples, self._model).t()
        [latents] = self._network.step([rows], [self._state], [last])
        if self._latents is not None:
            latents = torch.cat((self._latents, latents))
        frames = latents.shape[0]
        cut = frames if last else frames - frames % size
        self._latents = latents[cut:]
        codes = _codes(self._model, latents[:cut], self._n_q, self._search)
        return [
            CodeChunk(codes[:, start : min(start + size, cut)]) for start in range(0, cut, size)
        ]


class _WholeDecoder:
    def __init__(self, model: CompressionModel, block_frames: int) -> None:
        self._model = model
        self._block_frames = block_frames
        self._engine = model.engine()
        self._network = self._engine.decoder(block_frames)
        self._state = self._network.new_state()
        self._latents = _lost_latents(model, 0)

    def push(self, codes: NDArray[np.uint16], scale: float | None = None) -> Samples:
        return self._push(_latents(self._model, codes))

    def push_lost(self, frames: int) -> Samples:
        return self._push(_lost_latents(self._model, frames))

    def finish(self) -> Samples:
        return self._step(self._latents, last=True)

    def _push(self, latents: Tensor) -> Samples:
        latents = torch.cat((self._latents, latents))
        size = self._block_frames
        pieces = []
        start = 0
        while latents.shape[0] - start >= size:
            pieces.append(self._step(latents[start : start + size], last=False))
            start += size
        self._latents = latents[start:].clone()
        return np.concatenate(pieces, axis=1) if pieces else _silence(self._model, 0)

    def _step(self, latents: Tensor, *, last: bool) -> Samples:
        [rows] = self._network.step([latents], [self._state], [last])
        return _array(rows.t())


class _SegmentEncoder:
    def __init__(self, model: CompressionModel, n_q: int, search: int) -> None:
        self._model = model
        self._n_q = n_q
        self._search = search
        self._segment, self._stride = _segment_and_stride(model)
        self._samples = torch.zeros(model.channels, 0)

    def push(self, samples: Samples) -> list[CodeChunk]:
        self._samples = torch.cat((self._samples, _tensor(samples, self._model.channels)), dim=1)
        chunks = []
        start = 0
        while self._samples.shape[1] - start >= self._segment:
            chunks.append(self._encode(self._samples[:, start : start + self._segment]))
            start += self._stride
        self._samples = self._samples[:, start:].clone()
        return chunks

    def finish(self) -> list[CodeChunk]:
        # Every multiple of the stride below the end starts a segment, however short.
        rest = self._samples
        return [
            self._encode(rest[:, start : start + self._segment])
            for start in range(0, rest.shape[1], self._stride)
        ]

    @torch.inference_mode()
    def _encode(self, samples: Tensor) -> CodeChunk:
        model = self._model
        x, scale = model.normalize(_like_weights(samples[None], model))
        [latents] = model.engine().encoder(None).step([x[0].t()], [None], [True])
        codes = _codes(model, latents, self._n_q, self._search)
        return CodeChunk(codes, None if scale is None else float(scale))


class _SegmentDecoder:
    """Overlap-add with triangular weights, as in Meta's `encodec.utils`.

    The weights are those of the first segment's length, cut to that of each segment, and what
    overlaps is divided by the sum of its weights.
    """

    def __init__(self, model: CompressionModel) -> None:
        self._model = model
        self._stride = _segment_and_stride(model)[1]
        self._weights: Tensor | None = None
        self._sum = torch.zeros(model.channels, 0)
        self._weight_sum = torch.zeros(0)

    def push(self, codes: NDArray[np.uint16], scale: float | None = None) -> Samples:
        with torch.inference_mode():
            network, latents = self._model.engine().decoder(None), _latents(self._model, codes)
            [rows] = network.step([latents], [None], [True])
            decoded = rows.t().float().cpu()
        return self._add(decoded if scale is None else decoded * scale)

    def push_lost(self, frames: int) -> Samples:
        samples = frames * self._model.config.hop_length
        return self._add(torch.zeros(self._model.channels, samples))

    def finish(self) -> Samples:
        return _array(self._sum / self._weight_sum)

    def _add(self, segment: Tensor) -> Samples:
        if self._weights is None:
            t = torch.linspace(0, 1, segment.shape[1] + 2)[1:-1]
            self._weights = 0.5 - (t - 0.5).abs()
            ready = _silence(self._model, 0)
        else:
            ready = _array(self._sum[:, : self._stride] / self._weight_sum[: self._stride])
            self._sum = self._sum[:, self._stride :]
            self._weight_sum = self._weight_sum[self._stride :]
        weights = self._weights[: segment.shape[1]]
        longer = max(0, segment.shape[1] - self._sum.shape[1])
        self._sum = torch.nn.functional.pad(self._sum, (0, longer))
        self._weight_sum = torch.nn.functional.pad(self._weight_sum, (0, longer))
        self._sum[:, : segment.shape[1]] += segment * weights
        self._weight_sum[: segment.shape[1]] += weights
        return ready


def _segment_and_stride(model: CompressionModel) -> tuple[int, int]:
    segment, stride = model.config.segment_samples, model.config.stride_samples
    if segment is None or stride is None:
        raise UsageError(f"{model.config.name} codes whole signals, not segments")
    return segment, stride


def _tensor(samples: Samples, channels: int) -> Tensor:
    check_samples(samples, channels)
    return torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32))


def _like_weights(x: Tensor, model: CompressionModel) -> Tensor:
    weight = next(model.encoder.parameters())
    return x.to(device=weight.device, dtype=weight.dtype)


def _codes(model: CompressionModel, latents: Tensor, n_q: int, search: int) -> NDArray[np.uint16]:
    """Codes `[n_q, T]` of latents `[T, D]`."""
    codes = model.engine().quantize(latents, n_q, search)
    return codes.cpu().numpy().astype(np.uint16)


@torch.inference_mode()
def _latents(model: CompressionModel, codes: NDArray[np.uint16]) -> Tensor:
    """Latents `[T, D]` of codes `[K, T]`.

    Raises:
        UsageError: more codebooks than the model has, or a code beyond its codebook.
    """
    model.config.check_codebooks(codes.shape[0])
    if codes.size and int(codes.max()) >= model.config.quantizer.bins:
        raise UsageError(
            f"code {int(codes.max())}: {model.config.name} has codes 0 to "
            f"{model.config.quantizer.bins - 1}; were these made by another model?"
        )
    indices = torch.from_numpy(codes.astype(np.int64))
    return model.engine().dequantize(indices.to(next(model.decoder.parameters()).device))


def _lost_latents(model: CompressionModel, frames: int) -> Tensor:
    weight = next(model.decoder.parameters())
    return weight.new_zeros(frames, model.config.seanet.dimension)


def _silence(model: CompressionModel, samples: int) -> Samples:
    return np.zeros((model.channels, samples), dtype=np.float32)


def _array(samples: Tensor) -> Samples:
    array: Samples = samples.float().cpu().numpy()
    return array
