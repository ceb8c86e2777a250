"""Streams: any pushes give the same bits, lengths are exact, losses keep the time."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from cases import mostly_slow
from numpy.typing import NDArray
from tiny_models import segment_model, tiny_model, wave

from encodec_cli.config.timing import end_padding
from encodec_cli.container.codes import CodeChunk
from encodec_cli.errors import UsageError
from encodec_cli.model.module import CompressionModel
from encodec_cli.stream.decoder import stream_decoder
from encodec_cli.stream.encoder import stream_encoder

WHOLE: list[dict[str, Any]] = [
    {},
    {"seanet": {"lstm": 1, "pad_mode": "constant"}},
    {"seanet": {"causal": False, "norm": "weight_norm", "true_skip": False}},
    {"channels": 2, "seanet": {"decoder": {"trim_right_ratio": 0.0}}},
]
SEGMENTS: list[dict[str, Any]] = [
    {},
    {"segment_seconds": 0.1, "overlap": 0.5},  # 100 samples: no multiple of the hop
    {"segment_seconds": 0.048, "overlap": 0.0, "normalize": False, "channels": 1},
]


def models() -> list[Any]:
    return [pytest.param(tiny_model, c, id=f"whole-{i}") for i, c in enumerate(WHOLE)] + [
        pytest.param(segment_model, c, id=f"segments-{i}") for i, c in enumerate(SEGMENTS)
    ]


def encoded(
    model: CompressionModel, wav: NDArray[np.float32], sizes: list[int], **options: Any
) -> list[CodeChunk]:
    """Chunks of `wav` pushed in pieces of `sizes`, the last size over and over."""
    encoder = stream_encoder(model, 3, **options)
    chunks, start = [], 0
    while start < wav.shape[1]:
        size = sizes.pop(0) if len(sizes) > 1 else sizes[0]
        chunks += encoder.push(wav[:, start : start + size])
        start += size
    return chunks + encoder.finish()


def decoded(model: CompressionModel, chunks: list[CodeChunk]) -> NDArray[np.float32]:
    decoder = stream_decoder(model)
    pieces = [decoder.push(chunk.codes, chunk.scale) for chunk in chunks]
    return np.concatenate([*pieces, decoder.finish()], axis=1)


def assert_equal_chunks(found: list[CodeChunk], expected: list[CodeChunk]) -> None:
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a.codes, b.codes)
        assert a.scale == b.scale


@pytest.mark.parametrize(("make", "changes"), mostly_slow(models(), 3))
def test_any_pushes_give_the_same_chunks(make: Any, changes: dict[str, Any]) -> None:
    model = make(**changes)
    wav = wave(1300, model.channels)
    expected = encoded(model, wav, [1300], **({} if make is segment_model else {"chunk_frames": 8}))
    for sizes in ([1], [12], [random.randint(1, 300) for _ in range(20)], [0, 95, 96, 97, 1]):
        options = {} if make is segment_model else {"chunk_frames": 8}
        assert_equal_chunks(encoded(model, wav, list(sizes), **options), expected)


@pytest.mark.parametrize("changes", WHOLE)
def test_any_chunks_of_codes_decode_to_the_same_samples(changes: dict[str, Any]) -> None:
    model = tiny_model(**changes)
    codes = np.concatenate(
        [c.codes for c in encoded(model, wave(3000, model.channels), [3000])], axis=1
    )
    expected = decoded(model, [CodeChunk(codes)])
    assert expected.shape == (model.channels, 12 * codes.shape[1])
    for size in (1, 7, model.config.chunk_frames, model.config.chunk_frames + 1):
        cut = [CodeChunk(codes[:, i : i + size]) for i in range(0, codes.shape[1], size)]
        np.testing.assert_array_equal(decoded(model, cut), expected)


@pytest.mark.slow
@pytest.mark.parametrize("changes", WHOLE)
def test_streams_agree_with_the_model(changes: dict[str, Any]) -> None:
    """In fp64 the grid of blocks rounds too little to change a code."""
    model = tiny_model(**changes).double()
    wav = wave(2500, model.channels)
    padded = np.pad(wav, ((0, 0), (0, end_padding(model.config))))
    codes, _ = model.encode(torch.from_numpy(padded).double()[None])
    for options in ({}, {"chunk_frames": 8}, {"chunk_frames": 1}):
        chunks = encoded(model, wav, [2500], **options)
        np.testing.assert_array_equal(np.concatenate([c.codes for c in chunks], 1), codes[0])
        np.testing.assert_allclose(
            decoded(model, chunks), model.decode(codes)[0].numpy(), rtol=0, atol=1e-6
        )


@pytest.mark.parametrize("samples", [1, 11, 12, 13, 95, 96, 97, 1055, 1056, 1057])
def test_whole_signals_have_exact_numbers_of_frames(samples: int) -> None:
    model = tiny_model()
    chunks = encoded(model, wave(samples), [samples], chunk_frames=8)
    frames = [chunk.frames for chunk in chunks]
    assert sum(frames) == -(-samples // 12)
    assert all(n == 8 for n in frames[:-1])
    assert 1 <= frames[-1] <= 8
    assert decoded(model, chunks).shape == (1, 12 * sum(frames))


@pytest.mark.parametrize("samples", [1, 6, 53, 54, 55, 60, 61, 108, 109, 114, 115, 500])
def test_segments_start_at_each_stride_below_the_end(samples: int) -> None:
    model = segment_model()
    chunks = encoded(model, wave(samples, 2), [7])
    starts = range(0, samples, 54)
    assert [c.frames for c in chunks] == [-(-min(60, samples - s) // 12) for s in starts]
    for chunk, start in zip(chunks, starts, strict=True):
        segment = torch.from_numpy(wave(samples, 2)[:, start : start + 60])[None]
        codes, scale = model.encode(segment)
        np.testing.assert_array_equal(chunk.codes, codes[0])
        assert scale is not None
        assert chunk.scale == pytest.approx(scale.item(), rel=1e-6)
    length = decoded(model, chunks).shape[1]
    assert samples <= length < samples + 12


def test_overlapping_segments_are_faded_into_each_other() -> None:
    """Weighted by triangles as long as the first segment, divided by the weights' sum."""
    model = segment_model()
    chunks = encoded(model, wave(200, 2), [200])
    t = np.linspace(0, 1, 62)[1:-1]
    triangle = 0.5 - np.abs(t - 0.5)
    total, weights = np.zeros((2, 300)), np.zeros(300)
    for i, chunk in enumerate(chunks):
        codes = torch.from_numpy(chunk.codes.astype(np.int64))[None]
        piece = model.decode(codes, torch.tensor([chunk.scale]))[0].numpy()
        n = piece.shape[1]
        total[:, 54 * i : 54 * i + n] += piece * triangle[:n]
        weights[54 * i : 54 * i + n] += triangle[:n]
    found = decoded(model, chunks)
    expected = (total / np.maximum(weights, 1e-9))[:, : found.shape[1]]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_latency_is_one_block() -> None:
    model = tiny_model()
    encoder = stream_encoder(model, 2, chunk_frames=8)
    assert encoder.push(wave(95)) == []
    [chunk] = encoder.push(wave(1))
    assert chunk.codes.shape == (2, 8)
    assert encoder.finish() == []
    decoder = stream_decoder(model, block_frames=8)
    assert decoder.push(chunk.codes[:, :7]).shape == (1, 0)
    assert decoder.push(chunk.codes[:, 7:]).shape == (1, 96)
    assert decoder.finish().shape == (1, 0)


def test_interleaved_streams_do_not_touch_each_other() -> None:
    for model in (tiny_model(seanet={"lstm": 1}), segment_model()):
        waves = [wave(700, model.channels, seed=seed) for seed in (1, 2)]
        alone = [encoded(model, w, [50]) for w in waves]
        encoders = [stream_encoder(model, 3) for _ in waves]
        decoders = [stream_decoder(model) for _ in waves]
        chunks: list[list[CodeChunk]] = [[], []]
        for start in range(0, 700, 50):
            for i in (0, 1):
                chunks[i] += encoders[i].push(waves[i][:, start : start + 50])
        for i in (0, 1):
            chunks[i] += encoders[i].finish()
            assert_equal_chunks(chunks[i], alone[i])
        pieces: list[list[NDArray[np.float32]]] = [[], []]
        for pair in zip(*chunks, strict=True):
            for i in (0, 1):
                pieces[i].append(decoders[i].push(pair[i].codes, pair[i].scale))
        for i in (0, 1):
            whole = np.concatenate([*pieces[i], decoders[i].finish()], axis=1)
            np.testing.assert_array_equal(whole, decoded(model, alone[i]))


def with_loss(
    model: CompressionModel, chunks: list[CodeChunk], lost: set[int]
) -> NDArray[np.float32]:
    decoder, pieces = stream_decoder(model), []
    for i, chunk in enumerate(chunks):
        if i in lost:
            pieces.append(decoder.push_lost(chunk.frames))
        else:
            pieces.append(decoder.push(chunk.codes, chunk.scale))
    return np.concatenate([*pieces, decoder.finish()], axis=1)


@pytest.mark.parametrize("lost", [{0}, {5}, {4, 5}, {11}, set(range(12))])
def test_lost_chunks_keep_the_time_of_the_others(lost: set[int]) -> None:
    model = tiny_model()
    chunks = encoded(model, wave(12 * 96), [96], chunk_frames=8)
    assert len(chunks) == 12
    sound, damaged = decoded(model, chunks), with_loss(model, chunks, lost)
    assert damaged.shape == sound.shape
    assert np.isfinite(damaged).all()
    # Without an LSTM a layer looks back over few samples: 4 chunks later all is as before.
    affected = {i + j for i in lost for j in range(4)}
    for i in range(12):
        part = slice(96 * i, 96 * (i + 1))
        if i not in affected:
            np.testing.assert_allclose(damaged[:, part], sound[:, part], rtol=0, atol=1e-6)
        elif i in lost:
            assert not np.allclose(damaged[:, part], sound[:, part], rtol=0, atol=1e-6)


@pytest.mark.parametrize("lost", [{0}, {2}, {1, 2}, {4}, {0, 1, 2, 3, 4}])
def test_lost_segments_are_silent_between_their_neighbours(lost: set[int]) -> None:
    model = segment_model()
    chunks = encoded(model, wave(276, 2), [276])
    assert len(chunks) == 6
    sound, damaged = decoded(model, chunks), with_loss(model, chunks, lost)
    assert damaged.shape == sound.shape
    for i in range(6):
        own = slice(54 * i + 6, 54 * (i + 1))  # what no neighbour overlaps
        if i in lost:
            assert not damaged[:, own].any()
        else:
            np.testing.assert_allclose(damaged[:, own], sound[:, own], rtol=0, atol=1e-6)


def test_the_number_of_codebooks_is_checked() -> None:
    for model in (tiny_model(), segment_model()):
        with pytest.raises(UsageError, match="4 codebooks: tiny has 1 to 3"):
            stream_encoder(model, 4)
        decoder = stream_decoder(model)
        with pytest.raises(UsageError, match="4 codebooks: tiny has 1 to 3"):
            decoder.push(np.zeros((4, 2), np.uint16), 1.0)


def test_codes_of_other_codebooks_are_refused() -> None:
    for model in (tiny_model(), segment_model()):
        with pytest.raises(UsageError, match=r"code 16: tiny has codes 0 to 15; .*another model"):
            stream_decoder(model).push(np.full((1, 2), 16, np.uint16), 1.0)


@pytest.mark.parametrize("shape", [(5,), (2, 5), (1, 1, 5)])
def test_samples_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"this model codes \[1, n\]"):
        stream_encoder(tiny_model(), 1).push(np.zeros(shape, np.float32))


def test_a_stream_of_nothing_is_empty() -> None:
    for model in (tiny_model(), segment_model()):
        encoder, decoder = stream_encoder(model, 1), stream_decoder(model)
        assert encoder.push(np.zeros((model.channels, 0), np.float32)) == []
        assert encoder.finish() == []
        assert decoder.finish().shape == (model.channels, 0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_streams(dtype: torch.dtype) -> None:
    for model in (tiny_model().to(dtype), segment_model().to(dtype)):
        silence_first = wave(600, model.channels)
        silence_first[:, :200] = 0
        chunks = encoded(model, silence_first, [50])
        out = decoded(model, chunks)
        assert out.dtype == np.float32
        assert np.isfinite(out).all()
