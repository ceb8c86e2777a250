"""Decoding a part gives what the same part of a full decoding holds, wherever it starts."""

import io
import math
import random
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import segment_model, tiny_model, wave

from encodec_cli.config.timing import decoder_history
from encodec_cli.container import DamagedChunk, Ecdc, EcdcReader, write_ecdc
from encodec_cli.errors import EncodecCliWarning, UsageError
from encodec_cli.model.module import CompressionModel
from encodec_cli.stream.excerpt import part_to_decode, sample_range
from encodec_cli.stream.seek import DecodedFrom, first_chunk_for
from encodec_cli.stream.signals import decode, encode

RATE = 1000
WHOLE: list[dict[str, Any]] = [
    {},
    {"seanet": {"pad_mode": "constant", "n_residual_layers": 2, "true_skip": False}},
    {"seanet": {"causal": False, "norm": "weight_norm", "kernel_size": 5}},
    {"seanet": {"causal": False, "pad_mode": "replicate"}, "channels": 2},
    {"seanet": {"decoder": {"trim_right_ratio": 0.0}}},
    {"seanet": {"lstm": 1}},
    {"seanet": {"lstm": 2, "causal": False}},
]
SEGMENTS: list[dict[str, Any]] = [
    {},
    {"segment_seconds": 0.1, "overlap": 0.5},
    {"segment_seconds": 0.048, "overlap": 0.0, "normalize": False, "channels": 1},
]


def random_codes(model: CompressionModel, samples: int, *, chunk_frames: int = 88) -> Ecdc:
    """A recording of random codes, which shows more than silence would."""
    ecdc = encode(model, torch.from_numpy(wave(samples, model.channels)), n_q=3)
    generator = np.random.default_rng(samples)
    codes = generator.integers(0, 16, ecdc.codes.shape).astype(np.uint16)
    header = ecdc.header
    if header.segment is None:
        header = replace(header, chunk_frames=chunk_frames)
    return Ecdc(header, codes, ecdc.scales)


@pytest.mark.slow
@pytest.mark.parametrize("changes", WHOLE)
@pytest.mark.parametrize("chunk_frames", [88, 5])
def test_any_part_of_a_whole_signal(changes: dict[str, Any], chunk_frames: int) -> None:
    model = tiny_model(**changes)
    ecdc = random_codes(model, 2813, chunk_frames=chunk_frames)
    full = decode(model, ecdc).numpy()
    # Convolutions forget for good, to rounding; -60 dB is what is promised of an LSTM.
    least = 1e-3 if model.config.decoder.lstm else 1e-5
    starts = [0, 1, 12, 1055, 1056, 2112, 2812]
    for first in starts + [random.randrange(2813) for _ in range(6)]:
        length = random.choice([1, 13, 300, 9999])
        times = {"start": Fraction(first, RATE), "duration": Fraction(length, RATE)}
        part = decode(model, ecdc, **times).numpy()
        expected = full[:, first : first + length]
        assert part.shape == expected.shape
        np.testing.assert_allclose(part, expected, rtol=0, atol=least * full.std())


@pytest.mark.slow
@pytest.mark.parametrize("changes", WHOLE[:5])
def test_no_more_is_read_than_the_network_sees(changes: dict[str, Any]) -> None:
    """What lies before changes no bit; one frame later, and it would."""
    model = tiny_model(**changes)
    ecdc = random_codes(model, 1500, chunk_frames=2)
    history, first = decoder_history(model.config.decoder), 12 * 100
    chunk = first_chunk_for(model.config, ecdc.header, first)
    assert chunk == (100 - history) // 2
    full = decode(model, ecdc).numpy()[:, first:]
    changed = ecdc.codes.copy()
    changed[:, : 2 * chunk] = 0
    np.testing.assert_array_equal(decode(model, Ecdc(ecdc.header, changed))[:, first:], full)
    changed[:, : 100 - history + 1] = 0
    assert (decode(model, Ecdc(ecdc.header, changed))[:, first:].numpy() != full).any()


@pytest.mark.parametrize("changes", SEGMENTS)
@pytest.mark.parametrize("samples", [30, 58, 61, 115, 330])
def test_any_part_of_segments(changes: dict[str, Any], samples: int) -> None:
    model = segment_model(**changes)
    ecdc = random_codes(model, samples)
    full = decode(model, ecdc).numpy()
    for first in range(0, samples, 17):
        part = decode(model, ecdc, start=Fraction(first, RATE), duration=0.05).numpy()
        np.testing.assert_array_equal(part, full[:, first : first + 50])


def slow_to_forget(bias: float) -> CompressionModel:
    """A model whose LSTM multiplies its cells by sigmoid(bias) from frame to frame."""
    model = tiny_model(seanet={"lstm": 1})
    lstm = model.decoder.get_submodule("model.1.lstm")
    for name, weight in lstm.named_parameters():
        quarter = weight.shape[0] // 4
        if name.startswith("bias"):
            weight[quarter : 2 * quarter] = bias / 2
        else:
            weight[quarter : 2 * quarter] *= 0.1
    return model


@pytest.mark.slow
def test_the_warm_up_lasts_as_long_as_the_lstm_remembers() -> None:
    """60 dB take 7 / (1 - f) frames of 12 ms: 0.7 s at a bias of 2, 12 s at 5."""
    for bias, clean in ((2.0, True), (5.0, True), (10.0, False)):
        model = slow_to_forget(bias)
        ecdc = random_codes(model, 80_000)
        full = decode(model, ecdc).numpy()
        chunk = first_chunk_for(model.config, ecdc.header, 75_000)
        assert chunk > 0
        chunks = EcdcReader(io.BytesIO(packed(ecdc)))
        chunks.seek(chunk)
        decoded = DecodedFrom(model.codec(), ecdc.header, chunks, 75_000)
        part = np.concatenate([*decoded], axis=1)
        error = np.abs(part[:, :5000] - full[:, 75_000:]).max()
        assert (error < 1e-3 * full.std()) == clean
        assert bool(decoded.notes) != clean
        assert all("remembers more than 64 s" in note for note in decoded.notes)
        if not clean:  # as Python users hear of it
            with pytest.warns(EncodecCliWarning, match="remembers more than 64 s"):
                decode(model, ecdc, start=75)


def packed(ecdc: Ecdc) -> bytes:
    file = io.BytesIO()
    write_ecdc(file, ecdc)
    return file.getvalue()


def test_losses_in_the_warm_up_are_like_those_in_a_full_decoding() -> None:
    model = tiny_model()
    ecdc = random_codes(model, 3000, chunk_frames=8)
    lost = {7, 9, 12}

    def chunks(start: int) -> Any:
        for number, chunk in enumerate(EcdcReader(io.BytesIO(packed(ecdc)))):
            if number >= start:
                yield DamagedChunk(number, chunk.frames, "lost") if number in lost else chunk

    def decoded(first: int) -> Any:
        past = chunks(first_chunk_for(model.config, ecdc.header, first))
        return np.concatenate([*DecodedFrom(model.codec(), ecdc.header, past, first)], axis=1)

    full, part = decoded(0), decoded(96 * 13)
    np.testing.assert_allclose(part, full[:, 96 * 13 :], rtol=0, atol=1e-5)


def test_parts_that_follow_each_other_meet() -> None:
    rate = 44_100
    third = Fraction(1, 3)
    ends = [sample_range(i * third, third, rate) for i in range(30)]
    assert ends[0][0] == 0
    assert all(a[1] == b[0] for a, b in pairwise(ends))
    assert sample_range(0.1, None, 24_000) == (2400, None)
    assert sample_range(Fraction("0.0000208"), None, 24_000) == (0, None)
    assert sample_range(Fraction("0.0000209"), None, 24_000) == (1, None)


@pytest.mark.parametrize(
    ("start", "duration", "words"),
    [
        (-1, None, "start=-1"),
        (math.nan, None, "start=nan"),
        (math.inf, None, "start=inf"),
        (0, 0, "duration=0"),
        (0, -2.5, "duration=-2.5"),
        (0, math.inf, "duration=inf"),
        (0, 1e-9, "holds no sample at 1000 Hz"),
        (1, None, r"start=1: lies beyond the end of the audio of 0\.500 s"),
        (0.5, 1, r"start=0\.5: lies beyond"),
    ],
)
def test_parts_that_cannot_be(start: float, duration: float | None, words: str) -> None:
    model = tiny_model()
    with pytest.raises(UsageError, match=words):
        decode(model, random_codes(model, 500), start=start, duration=duration)


def test_bare_codes_have_parts_too() -> None:
    model = tiny_model()
    codes = random_codes(model, 1200).codes
    full = decode(model, codes)
    part = decode(model, codes, start=0.5, duration=0.1)
    np.testing.assert_allclose(part, full[:, 500:600], rtol=0, atol=1e-5)


@pytest.mark.parametrize("rate", [1000, 8000, 44_100, 999, 200])
def test_a_resampler_starts_on_an_instant_of_both_rates(rate: int) -> None:
    reader = EcdcReader(io.BytesIO(packed(random_codes(tiny_model(), 50_000))))
    for start in (0, 3, Fraction(100, 3), 49.99):
        part = part_to_decode(reader, start, None, rate)
        assert part.origin * 1000 == part.begin * rate
        assert part.origin <= part.first
        enough = 2000 * max(1, 1000 / rate)
        assert rate == 1000 or part.begin == 0 or part.first * 1000 / rate - part.begin >= enough
