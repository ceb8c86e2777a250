"""The level of live streams: chunks of less than a second have one too, from what was heard."""

import io
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from cases import mostly_slow
from numpy.typing import NDArray
from test_level import (
    FRAMES,
    LEVEL_DB,
    MODELS,
    QUIET,
    RATE,
    SECOND,
    Listening,
    chunks_of,
    gains,
    levelled,
    reader_of,
)
from tiny_models import tiny_config, wave

from encodec_cli.config.timing import block_frames_for, decoder_history
from encodec_cli.container import Ecdc, EcdcReader, read_ecdc, write_ecdc
from encodec_cli.container.codes import CodeChunk
from encodec_cli.container.gain import nearest_scale
from encodec_cli.errors import UsageError
from encodec_cli.model.module import CompressionModel
from encodec_cli.stream.decoder import stream_decoder
from encodec_cli.stream.encoder import stream_encoder
from encodec_cli.stream.gain import GainRestorer, gain_history
from encodec_cli.stream.headers import header_for
from encodec_cli.stream.level import level_meter
from encodec_cli.stream.signals import decode
from encodec_cli.tokens import ecdc_item, item_ecdc

HOP = 12
BLOCKS = mostly_slow([1, 3, 40, FRAMES - 1], 7)
"""Frames of a chunk."""
Samples = NDArray[np.float32]


def scales_db(x: Samples, frames: int) -> NDArray[np.float64]:
    """What a meter finds for each chunk of `x` `[1, N]`, in dB."""
    meter, size = level_meter(tiny_config(level_db=LEVEL_DB), frames), frames * HOP
    scales = [meter.scale(x[:, i : i + size].T) for i in range(0, x.shape[1], size)]
    return 20 * np.log10(scales)


def tone(seconds: float, db: float) -> Samples:
    """100 Hz, RMS in dBFS."""
    t = np.arange(round(seconds * RATE))
    return (np.sqrt(2) * 10 ** (db / 20) * np.sin(0.2 * np.pi * t))[None].astype(np.float32)


def live_ecdc(model: CompressionModel, x: Samples, frames: int, **header: Any) -> Ecdc:
    chunks = chunks_of(stream_encoder(model, 3, chunk_frames=frames), x, 1000)
    head = header_for(model.codec(), 3, chunk_frames=frames, **header)
    return Ecdc(
        replace(head, num_samples=x.shape[1]),
        np.concatenate([chunk.codes for chunk in chunks], axis=1),
        np.array([chunk.scale for chunk in chunks], np.float32),
    )


# ---- the level that was heard


@pytest.mark.parametrize("db", [-50.0, -33.0, -20.0, -3.0])
@pytest.mark.parametrize("frames", [1, 3, 7, 40])
def test_a_steady_sound_is_brought_to_the_level(frames: int, db: float) -> None:
    found = scales_db(tone(3, db), frames)
    np.testing.assert_allclose(found[len(found) * 2 // 3 :], db - LEVEL_DB, atol=0.5)


@pytest.mark.parametrize("frames", [1, 3, 7, 40])
def test_the_level_rises_at_once(frames: int) -> None:
    """With the chunk that a loud sound comes in, or when a part of 50 ms is full of it."""
    quiet, loud = tone(3, -50), tone(1, -10)
    quiet = quiet[:, : quiet.shape[1] // (frames * HOP) * frames * HOP]
    found = scales_db(np.concatenate([quiet, loud], axis=1), frames)
    onset = quiet.shape[1] // (frames * HOP)
    assert found[onset - 1] == pytest.approx(-30, abs=0.5)
    assert found[onset] > 2
    assert 8 < found[onset + math.ceil(50 / (frames * HOP))] < 11


@pytest.mark.parametrize("frames", [1, 3, 7, 40])
def test_the_level_falls_by_20_db_a_second_at_most(frames: int) -> None:
    rng = np.random.default_rng(1)
    x = gains(rng.standard_normal((1, 8000)).astype(np.float32), *rng.uniform(-50, 0, 40))
    steps = np.diff(scales_db(x, frames), prepend=0)
    assert steps.min() >= -20 * frames * HOP / RATE - 0.5
    found = scales_db(np.concatenate([tone(1, -10), tone(3, -40)], axis=1), frames)
    seconds = (1 + np.arange(len(found))) * frames * HOP / RATE
    falling = seconds[found < -19.5][0] - seconds[found > 9.5][-1]
    assert falling == pytest.approx(30 / 20, abs=0.1 + 2 * frames * HOP / RATE)
    assert found[-1] == pytest.approx(-20, abs=0.5)


@pytest.mark.parametrize("frames", [1, 7, 40])
def test_pauses_keep_the_scale(frames: int) -> None:
    """Of a word's length the level of what came before, however long if nothing is to be heard."""
    nothing = np.zeros((1, 5000), np.float32)
    assert set(scales_db(nothing, frames)) == {0.0}
    assert set(scales_db(tone(5, -61), frames)) == {0.0}
    words = np.concatenate([tone(3, -40), nothing[:, :300]], axis=1)
    found = scales_db(np.concatenate([words, words, nothing], axis=1), frames)
    settled = found[round(2.5 * RATE / frames / HOP) :]
    assert settled.min() >= -22.5
    assert settled.max() <= -19.5
    assert set(found[round(7 * RATE / frames / HOP) :]) == {found[-1]}


@pytest.mark.parametrize("offset", [0.5, -0.1])
@pytest.mark.parametrize("frames", [1, 7, 40])
def test_a_constant_offset_is_no_sound(frames: int, offset: float) -> None:
    plain, moved = (scales_db(tone(5, -40) + np.float32(by), frames) for by in (0, offset))
    np.testing.assert_allclose(moved[len(moved) * 3 // 4 :], plain[len(plain) * 3 // 4 :], atol=0.5)


# ---- there and back


@pytest.mark.parametrize("changes", MODELS)
@pytest.mark.parametrize("frames", BLOCKS)
@pytest.mark.parametrize("push", [5, 1300])
def test_what_a_decoder_multiplies_by_is_what_was_divided_by(
    changes: dict[str, Any], frames: int, push: int
) -> None:
    """Sample by sample, whatever both are pushed."""
    codec = levelled(**changes).codec()
    x = gains(wave(4 * SECOND + 5, codec.channels), 0, -35, 10, -20, -60, 5)
    listening = Listening(codec.engine)
    encoder = stream_encoder(replace(codec, engine=listening), 3, chunk_frames=frames)
    chunks = chunks_of(encoder, x, push)
    heard = np.concatenate(listening.heard)[: x.shape[1]]

    restorer, pieces = GainRestorer(codec.config), []
    for chunk in chunks:
        restorer.expect(chunk.frames, chunk.scale)
    for start in range(0, len(heard), 301):
        pieces.append(restorer.restore(heard[start : start + 301]))
    np.testing.assert_allclose(np.concatenate(pieces).T, x, rtol=1e-6, atol=0)
    assert len({chunk.scale for chunk in chunks}) > 3


@pytest.mark.parametrize("frames", BLOCKS)
def test_a_quiet_stream_gets_the_codes_of_a_loud_one(frames: int) -> None:
    """Once its level is known: 36 dB take 1.8 s."""
    model = levelled()
    x = wave(4 * RATE)
    loud, quiet = (live_ecdc(model, x * np.float32(by), frames) for by in (1, QUIET))
    assert loud.scales is not None
    assert quiet.scales is not None
    known = round(3 * RATE / HOP)
    np.testing.assert_allclose(quiet.scales[-1] / QUIET, loud.scales[-1], rtol=1e-6)
    assert np.mean(quiet.codes[:, known:] != loud.codes[:, known:]) < 0.01  # near-ties
    assert np.mean(quiet.codes[:, :10] != loud.codes[:, :10]) > 0.1


@pytest.mark.parametrize("frames", BLOCKS)
@pytest.mark.parametrize("refine", [False, True])
def test_pushes_do_not_matter(frames: int, refine: bool) -> None:
    model = levelled()
    x = gains(wave(2 * SECOND + 77), 0, -25, 5)

    def coded(step: int) -> list[CodeChunk]:
        return chunks_of(stream_encoder(model, 3, chunk_frames=frames, refine=refine), x, step)

    whole = coded(x.shape[1])
    for step in (1, 250):
        for part, chunk in zip(coded(step), whole, strict=True):
            assert part.scale == chunk.scale
            np.testing.assert_array_equal(part.codes, chunk.codes)


@pytest.mark.parametrize("frames", BLOCKS)
def test_a_chunk_leaves_with_its_last_sample(frames: int) -> None:
    model = levelled(seanet={"pad_mode": "constant"})
    encoder = stream_encoder(model, 3, chunk_frames=frames)
    x = wave(3 * frames * HOP)
    for i in range(3):
        start = i * frames * HOP
        assert not encoder.push(x[:, start : start + frames * HOP - 1])
        assert len(encoder.push(x[:, start + frames * HOP - 1 : start + frames * HOP])) == 1


@pytest.mark.parametrize("latency_ms", [72, 100, 150, 331])
def test_a_look_ahead_of_levelled_blocks_is_waited_for(latency_ms: int) -> None:
    """A block that is looked at has its level as a whole: the wait is still what was asked for."""
    model = levelled(seanet={"causal": False, "pad_mode": "constant"})
    frames = block_frames_for(model.config, latency_ms)
    encoder = stream_encoder(model, 3, chunk_frames=frames)
    x = wave(1000)
    came = [len(encoder.push(x[:, n : n + 1])) for n in range(1000)]
    for number, n in enumerate(np.flatnonzero(came)):
        assert n + 1 - number * frames * HOP <= latency_ms * RATE / 1000
    assert sum(came) > 0
    with pytest.raises(UsageError, match=r"needs at least 72\.00 ms, one frame and what it looks"):
        block_frames_for(model.config, 71)


# ---- from the middle, and after a loss


@pytest.mark.parametrize("frames", [1, 2, 3, 7, 8, 9, 40])
def test_the_gain_forgets_what_lies_before_its_history(frames: int) -> None:
    """Also where every chunk has another scale."""
    config = tiny_config(level_db=LEVEL_DB)
    history = gain_history(RATE, frames * HOP)
    rng = np.random.default_rng(2)
    scales = [nearest_scale(10 ** (db / 20)) for db in rng.uniform(-80, 47, history + 40)]

    def gain(first: int) -> Samples:
        restorer = GainRestorer(config)
        for scale in scales[first:]:
            restorer.expect(frames, scale)
        ones = np.ones(((len(scales) - first) * frames * HOP, 1), np.float32)
        return restorer.restore(ones)[(history - first) * frames * HOP :, 0]

    np.testing.assert_allclose(gain(1)[frames * HOP :], gain(0)[frames * HOP :], rtol=1.3e-7)
    if history > 2:
        with pytest.raises(AssertionError, match="Not equal to tolerance"):
            np.testing.assert_allclose(gain(history // 2 + 1), gain(0), rtol=1.3e-7)


@pytest.mark.slow
@pytest.mark.parametrize("changes", MODELS)
@pytest.mark.parametrize("frames", [1, 3, 7, 40])
def test_parts_are_those_of_the_whole(changes: dict[str, Any], frames: int) -> None:
    model = levelled(**changes)
    x = gains(wave(6 * SECOND + 10, model.channels), 0, -35, 10, -35, 5, -20)
    ecdc = live_ecdc(model, x, frames)
    whole = decode(model.codec(), ecdc)

    for first in (1, SECOND, SECOND + 30, 3 * SECOND + 500, 5 * SECOND, 6 * SECOND):
        part = decode(model.codec(), ecdc, start=first / RATE, duration=0.4)
        np.testing.assert_allclose(part, whole[:, first : first + 400], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("frames", BLOCKS)
def test_a_lost_chunk_is_made_up_for(frames: int) -> None:
    """The gain is right again as soon as what follows has led it there."""
    model = levelled()
    x = gains(wave(6 * SECOND), 0, -35, 10, -20)
    ecdc = live_ecdc(model, x, frames)
    chunks = list(ecdc.chunks())
    lost = round(1.5 * SECOND / HOP / frames)

    def decoded(without: set[int]) -> Samples:
        decoder, pieces = stream_decoder(model, block_frames=frames), []
        for i, chunk in enumerate(chunks):
            if i in without:
                pieces.append(decoder.push_lost(chunk.frames))
            else:
                pieces.append(decoder.push(chunk.codes, chunk.scale))
        return np.concatenate([*pieces, decoder.finish()], axis=1)

    whole, damaged = decoded(set()), decoded({lost})
    forgotten = max(
        decoder_history(model.config.decoder), gain_history(RATE, frames * HOP) * frames
    )
    right = ((lost + 1) * frames + forgotten) * HOP
    np.testing.assert_allclose(damaged[:, right:], whole[:, right:], rtol=1e-5, atol=1e-7)
    assert right < whole.shape[1] - 200
    assert np.abs(damaged).max() <= 2 * np.abs(whole).max()


# ---- files


@pytest.mark.parametrize(("version", "size"), [(1, 4), (2, 1)])
def test_files_of_short_chunks_hold_their_scales(version: int, size: int) -> None:
    model = levelled()
    ecdc = live_ecdc(model, gains(wave(1500), 0, -25), 4, version=version)
    bare = Ecdc(replace(ecdc.header, has_scale=False), ecdc.codes)
    files = [io.BytesIO(), io.BytesIO()]
    for file, each in zip(files, (ecdc, bare), strict=True):
        write_ecdc(file, each)
    back = read_ecdc(io.BytesIO(files[0].getvalue()))

    assert ecdc.scales is not None
    assert back.scales is not None
    np.testing.assert_array_equal(back.scales, ecdc.scales)
    head = {1: len(b',"x":true'), 2: 0}[version]
    grown = len(files[0].getvalue()) - len(files[1].getvalue())
    assert grown == pytest.approx(size * len(ecdc.scales) + head, abs=len(ecdc.scales) // 10)
    assert EcdcReader(io.BytesIO(files[0].getvalue())).header.has_scale


def test_tokens_of_short_chunks_keep_their_scales() -> None:
    model = levelled()
    ecdc = live_ecdc(model, gains(wave(2500), 0, -25), 7)
    item = ecdc_item(reader_of(ecdc), "a", "a.wav")
    assert item.info.chunk_frames == 7
    again = item_ecdc(item, header_for(model.codec(), 3))

    np.testing.assert_array_equal(decode(model.codec(), again), decode(model.codec(), ecdc))
    bare = item_ecdc(replace(item, scales=None), header_for(model.codec(), 3))
    assert not bare.header.has_scale
    torch.testing.assert_close(
        decode(model, bare), decode(model, torch.from_numpy(ecdc.codes.astype(np.int64)))[:, :2500]
    )
