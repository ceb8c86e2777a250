"""Models with a level: loud or quiet, a recording is coded as well, and comes back as it was."""

import io
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import mostly_slow
from numpy.typing import NDArray
from tiny_models import segment_model, tiny_config, tiny_model, wave

from encodec_cli.audio import read_whole
from encodec_cli.checkpoints.modules import load_module
from encodec_cli.config.bundled import checkpoints_folder, configs_folder
from encodec_cli.config.codec import load_codec_config
from encodec_cli.container import (
    Ecdc,
    EcdcReader,
    peel,
    read_ecdc,
    write_ecdc,
)
from encodec_cli.container.codes import CodeChunk
from encodec_cli.container.gain import ByteGain, nearest_scale
from encodec_cli.errors import ConfigError, UsageError
from encodec_cli.model.module import CompressionModel
from encodec_cli.runtime.protocol import Engine, Rows
from encodec_cli.stream.decoder import stream_decoder
from encodec_cli.stream.encoder import stream_encoder
from encodec_cli.stream.gain import Leveller
from encodec_cli.stream.headers import check_same_model, header_for
from encodec_cli.stream.level import SILENCE_DB, level_meter, level_of
from encodec_cli.stream.protocols import StreamEncoder
from encodec_cli.stream.signals import decode, encode
from encodec_cli.tokens import TokenInfo, TokenItem, ecdc_item, item_ecdc

SAMPLES = Path(__file__).resolve().parent.parent / "samples"
RATE = 1000
LEVEL_DB = -20.0
QUIET = float(np.float32(10 ** (-36 / 20)))
"""A factor of whole steps of the scales."""
FRAMES = tiny_config().chunk_frames
SECOND = FRAMES * 12  # samples in a chunk
MODELS: list[dict[str, Any]] = [
    {},
    {"channels": 2, "seanet": {"decoder": {"trim_right_ratio": 0.0}}},
    {"seanet": {"causal": False}},
]


def levelled(**changes: Any) -> CompressionModel:
    torch.manual_seed(3)
    return tiny_model(level_db=LEVEL_DB, **changes)


def gains(x: NDArray[np.float32], *db: float) -> NDArray[np.float32]:
    """`x` in equal parts, each louder by so many dB."""
    factors = np.repeat([10 ** (g / 20) for g in db], -(-x.shape[1] // len(db)))
    return (x * factors[: x.shape[1]]).astype(np.float32)


def chunks_of(encoder: StreamEncoder, x: NDArray[np.float32], step: int) -> list[CodeChunk]:
    chunks = []
    for start in range(0, x.shape[1], step):
        chunks += encoder.push(x[:, start : start + step])
    return chunks + encoder.finish()


class Listening:
    """An engine that keeps what its encoder is given."""

    streams = 1

    def __init__(self, engine: Engine) -> None:
        self.heard: list[Rows] = []
        self.engine = engine
        self.decoder, self.quantizer = engine.decoder, engine.quantizer

    def encoder(self, block_frames: int | None) -> "Listening":
        self.stepper = self.engine.encoder(block_frames)
        return self

    def new_state(self) -> Any:
        return self.stepper.new_state()

    def step(self, inputs: list[Rows], states: list[Any], last: list[bool]) -> list[Rows]:
        self.heard += inputs
        return self.stepper.step(inputs, states, last)


# ---- the level of samples


def test_pauses_do_not_count() -> None:
    tone = np.sin(np.arange(4000) * 0.3)[:, None].astype(np.float32)
    broken = tone * (np.arange(4000) // 500 % 2)[:, None]

    assert level_of(tone * 0.1, RATE) == pytest.approx(-23.01, abs=0.05)
    assert level_of(broken * 0.1, RATE) == pytest.approx(-23.01, abs=0.05)
    assert level_of(np.repeat(tone, 2, axis=1) * 0.1, RATE) == pytest.approx(-23.01, abs=0.05)


@pytest.mark.parametrize("samples", [0, 1, 49, 50, 51])
def test_few_samples_have_a_level_too(samples: int) -> None:
    expected = -math.inf if samples == 0 else -20.0
    assert level_of(np.full((samples, 1), 0.1, np.float32), RATE) == pytest.approx(expected)
    assert level_of(np.zeros((samples, 2), np.float32), RATE) == -math.inf


# ---- there and back


@pytest.mark.parametrize("changes", MODELS)
@pytest.mark.parametrize("samples", [1, 7, SECOND, SECOND + 1, 3 * SECOND - 5])
def test_the_codec_hears_one_level_and_the_listener_the_old_one(
    changes: dict[str, Any], samples: int
) -> None:
    model = levelled(**changes)
    x = torch.from_numpy(wave(samples, model.channels) + np.float32(0.2))

    plain, quiet = encode(model, x), encode(model, x * QUIET)

    np.testing.assert_array_equal(plain.codes, quiet.codes)
    assert plain.scales is not None
    assert quiet.scales is not None
    np.testing.assert_allclose(quiet.scales / QUIET, plain.scales, rtol=1e-6)
    torch.testing.assert_close(decode(model, quiet) / QUIET, decode(model, plain))


def test_every_second_is_brought_to_the_level() -> None:
    model = levelled()
    x = gains(wave(4 * SECOND), 0, -30, -10, 15)
    codec = model.codec()
    listening = Listening(codec.engine)
    chunks = chunks_of(stream_encoder(replace(codec, engine=listening), 3), x, 400)
    heard = np.concatenate(listening.heard)

    # The first tenth of a second is on its way from the level before.
    levels = [level_of(heard[i * SECOND + 100 : (i + 1) * SECOND], RATE) for i in range(4)]
    np.testing.assert_allclose(levels, LEVEL_DB, atol=1.5)
    scales = np.array([chunk.scale for chunk in chunks[:4]])
    steps = 20 * np.log10(scales[1:] / scales[:-1])
    np.testing.assert_allclose(steps, [-30, 20, 25], atol=1.5)


@pytest.mark.parametrize("changes", MODELS)
def test_pushes_do_not_matter(changes: dict[str, Any]) -> None:
    model = levelled(**changes)
    x = gains(wave(3 * SECOND + 77, model.channels), 0, -25, 5)
    whole = chunks_of(stream_encoder(model, 3), x, x.shape[1])

    for step in (1, 250, SECOND):
        parts = chunks_of(stream_encoder(model, 3), x, step)
        assert [part.scale for part in parts] == [chunk.scale for chunk in whole]
        for part, chunk in zip(parts, whole, strict=True):
            np.testing.assert_array_equal(part.codes, chunk.codes)


@pytest.mark.slow
@pytest.mark.parametrize("changes", MODELS)
def test_chunks_may_be_decoded_in_parts(changes: dict[str, Any]) -> None:
    model = levelled(**changes)
    chunks = chunks_of(stream_encoder(model, 3), gains(wave(2500, model.channels), 0, -25, 5), 500)

    def decoded(frames: int, **how: Any) -> NDArray[np.float32]:
        decoder = stream_decoder(model, **how)
        pieces = []
        for chunk in chunks:
            for start in range(0, chunk.frames, frames):
                pieces.append(decoder.push(chunk.codes[:, start : start + frames], chunk.scale))
        return np.concatenate([*pieces, decoder.finish()], axis=1)

    whole = decoded(1000)
    for frames, how in ((1, {}), (5, {"block_frames": 7}), (40, {"block_frames": 1})):
        np.testing.assert_allclose(decoded(frames, **how), whole, atol=1e-5)


def test_the_level_glides() -> None:
    """A ramp up and its inverse: constant latents come back without a step."""
    model = levelled()
    codes = np.zeros((3, FRAMES), np.uint16)
    decoder, flat = stream_decoder(model), stream_decoder(model)
    loud = np.concatenate([decoder.push(codes, s) for s in (0.1, 0.9, 0.1)], axis=1)
    same = np.concatenate([flat.push(codes, 1.0) for _ in range(3)], axis=1)

    scale = (loud / same)[0, 200 : 3 * SECOND - 80]
    assert scale.min() == pytest.approx(0.1, rel=1e-4)
    assert scale.max() == pytest.approx(0.9, rel=1e-4)
    assert np.abs(np.diff(np.log(scale))).max() == pytest.approx(math.log(9) / 100, rel=0.01)


def test_silence_keeps_the_scale_and_stays_silent() -> None:
    model = levelled()
    x = np.concatenate([wave(SECOND) * 0.01, np.zeros((1, 2 * SECOND), np.float32)], axis=1)
    loud = chunks_of(stream_encoder(model, 3), x, 300)
    silent = chunks_of(stream_encoder(model, 3), x[:, SECOND:], 300)
    hiss = np.full_like(x, 10 ** ((SILENCE_DB - 1) / 20))

    assert loud[0].scale == loud[1].scale == loud[2].scale
    assert loud[0].scale is not None
    assert loud[0].scale < 0.1
    assert {chunk.scale for chunk in silent} == {1.0}
    assert {chunk.scale for chunk in chunks_of(stream_encoder(model, 3), hiss, 300)} == {1.0}


def test_lost_chunks_keep_the_scale() -> None:
    model = levelled()
    codes = np.zeros((3, FRAMES), np.uint16)
    decoder = stream_decoder(model)
    decoder.push(codes, 0.5)
    lost = decoder.push_lost(FRAMES)
    again = decoder.push(codes, 0.5)
    reference = stream_decoder(levelled())
    reference.push(codes)

    np.testing.assert_allclose(lost, reference.push_lost(FRAMES) * 0.5, atol=1e-7)
    np.testing.assert_allclose(again, reference.push(codes) * 0.5, atol=1e-7)


# ---- files


@pytest.mark.slow
@pytest.mark.parametrize("changes", MODELS)
def test_parts_are_those_of_the_whole(changes: dict[str, Any]) -> None:
    model = levelled(**changes)
    x = gains(wave(6 * SECOND + 10, model.channels), 0, -35, 10, -35, 5, -20)
    ecdc = encode(model, torch.from_numpy(x))
    whole = decode(model, ecdc)

    for first in (1, SECOND - 1, SECOND, SECOND + 30, 3 * SECOND + 500, 5 * SECOND):
        part = decode(model, ecdc, start=first / RATE, duration=0.4)
        torch.testing.assert_close(part, whole[:, first : first + 400], atol=1e-5, rtol=1e-4)


def test_files_tokens_and_peeled_files_keep_the_scales() -> None:
    model = levelled()
    ecdc = encode(model, torch.from_numpy(gains(wave(2500), 0, -25, 5)))
    file, peeled = io.BytesIO(), io.BytesIO()
    write_ecdc(file, ecdc)
    peel(EcdcReader(io.BytesIO(file.getvalue())), peeled, 2)
    back, fewer = read_ecdc(io.BytesIO(file.getvalue())), read_ecdc(io.BytesIO(peeled.getvalue()))

    assert back.header.has_scale
    assert ecdc.scales is not None
    assert back.scales is not None
    assert fewer.scales is not None
    np.testing.assert_array_equal(back.scales, ecdc.scales)
    np.testing.assert_array_equal(fewer.scales, ecdc.scales)
    torch.testing.assert_close(decode(model, fewer), decode(model, ecdc, n_q=2))


def test_tokens_come_back_with_or_without_their_level() -> None:
    model = levelled()
    ecdc = encode(model, torch.from_numpy(wave(2500) * np.float32(0.05)))
    assert ecdc.scales is not None
    header = header_for(model.codec(), 3)
    item = TokenItem("a", ecdc.codes, ecdc.scales, TokenInfo(num_samples=2500))
    bare = TokenItem("a", ecdc.codes, None, TokenInfo())

    torch.testing.assert_close(decode(model, item_ecdc(item, header)), decode(model, ecdc))
    assert not item_ecdc(bare, header).header.has_scale
    torch.testing.assert_close(
        decode(model, item_ecdc(bare, header)), decode(model, ecdc.codes), atol=1e-6, rtol=1e-5
    )
    reader_item = ecdc_item(reader_of(ecdc), "a", "a.wav")
    np.testing.assert_array_equal(reader_item.scales, ecdc.scales)


def reader_of(ecdc: Ecdc) -> EcdcReader:
    file = io.BytesIO()
    write_ecdc(file, ecdc)
    file.seek(0)
    return EcdcReader(file)


def tiny_twin(model: CompressionModel) -> CompressionModel:
    """The same weights, without a level."""
    twin = CompressionModel(replace(model.config, level_db=None)).eval()
    twin.load_state_dict(model.state_dict())
    twin.requires_grad_(False)
    return twin


def test_scales_that_a_model_has_no_use_for_are_refused() -> None:
    model = levelled()
    twin = tiny_twin(model)
    header = replace(header_for(twin.codec(), 3), has_scale=True)

    with pytest.raises(UsageError, match="carries scales, which model tiny has no use for"):
        check_same_model(twin.codec(), header)
    with pytest.raises(UsageError, match="codes without the scales"):
        decode(model, replace(encode(model, torch.from_numpy(wave(50))), scales=None))
    check_same_model(model.codec(), header_for(model.codec(), 3))
    check_same_model(segment_model().codec(), header_for(segment_model().codec(), 3))


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("frames", mostly_slow([40, 200, 4, 1], 2))
def test_scales_of_chunks_of_any_length_are_followed(frames: int, version: int) -> None:
    """Files say how long their chunks are; a scale for each of them is allowed by the format."""
    model = levelled()
    ecdc = encode(model, wave(4 * SECOND), n_q=3)
    count = -(-ecdc.codes.shape[1] // frames)
    scales = np.array(list(map(nearest_scale, np.geomspace(0.1, 0.8, count))), np.float32)
    odd = Ecdc(replace(ecdc.header, version=version, chunk_frames=frames), ecdc.codes, scales)
    file = io.BytesIO()
    write_ecdc(file, odd)
    assert EcdcReader(io.BytesIO(file.getvalue())).header.has_scale
    found = decode(model.codec(), read_ecdc(io.BytesIO(file.getvalue())))
    twin = tiny_twin(model).codec()
    plain = decode(twin, Ecdc(replace(ecdc.header, has_scale=False), ecdc.codes))

    # A chunk that is longer than the glide ends at its own scale.
    for i in range(count):
        end = min((i + 1) * frames * 12, found.shape[1])
        if frames * 12 >= 100 and end < found.shape[1]:
            np.testing.assert_allclose(
                found[:, end - 5 : end], plain[:, end - 5 : end] * scales[i], rtol=1e-4, atol=1e-7
            )
    assert bool((np.abs(found) <= np.abs(plain) * scales.max() + 1e-6).all())
    assert bool((np.abs(found) >= np.abs(plain) * scales.min() - 1e-6).all())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"level_db": 1.0}, "level_db: 1.0: give -60 to 0"),
        ({"level_db": float("nan")}, "level_db: nan"),
        ({"level_db": -20.0, "segment_seconds": 0.06}, "segments have normalize"),
    ],
)
def test_levels_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        tiny_config(**changes)


# ---- the default model


@pytest.mark.slow
def test_the_default_model_does_not_mind_the_level() -> None:
    path = checkpoints_folder() / "ecli_24khz.safetensors"
    model = load_module(path)
    assert model.config.level_db == load_codec_config(configs_folder() / "ecli_24khz.yaml").level_db
    x = torch.from_numpy(read_whole(SAMPLES / "speech.wav", model.sample_rate, 1)[:, :72000])

    loud = decode(model, encode(model, x, search=1))
    quiet = decode(model, encode(model, x * QUIET, search=1))

    torch.testing.assert_close(quiet / QUIET, loud, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("offset", [0.5, -0.1, 0.0])
def test_a_constant_offset_is_no_sound(offset: float) -> None:
    """Also in a last chunk too short to tell an offset from a low tone."""
    t = np.arange(2 * SECOND + 40)[:, None]
    tone = (0.05 * np.sin(2 * np.pi * 100 * t / RATE)).astype(np.float32)
    scales = []
    for x in (tone, (tone + offset).astype(np.float32)):
        leveller = Leveller(tiny_config(level_db=LEVEL_DB), FRAMES)
        for start in range(0, len(x), SECOND):
            leveller.level(x[start : start + SECOND])
            scales.append(leveller.next_scale())
    assert scales[:3] == scales[3:]
    assert scales[0] < 1
    pieces = Leveller(tiny_config(level_db=LEVEL_DB), FRAMES)
    pieces.level(np.full((SECOND, 1), offset, np.float32))
    assert pieces.next_scale() == 1  # an offset alone is silence


def test_a_slow_tone_of_a_short_stream_is_sound() -> None:
    tone = np.full((40, 1), 0.05, np.float32)
    leveller = Leveller(tiny_config(level_db=LEVEL_DB), FRAMES)
    leveller.level(tone)
    assert leveller.next_scale() < 1


def test_scales_are_those_that_files_hold() -> None:
    """Whatever the level: within a quarter of a dB, and the same from every format."""
    config = levelled().config
    for db in np.linspace(-59, 27, 400):
        rows = np.resize([[1.0], [-1.0]], (SECOND, 1)).astype(np.float32) * np.float32(
            10 ** (db / 20)
        )
        scale = level_meter(config, FRAMES).scale(rows)
        assert ByteGain().unpack(ByteGain().pack(scale)) == scale
        assert 20 * math.log10(scale) == pytest.approx(db - LEVEL_DB, abs=0.2501)
