"""Whole signals: encode, decode, files between them, and what is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import segment_model, tiny_model, wave, with_name

import encodec_cli
from encodec_cli.container import read_ecdc, write_ecdc
from encodec_cli.errors import AudioError, ContainerError, UsageError
from encodec_cli.stream.decoder import stream_decoder
from encodec_cli.stream.encoder import stream_encoder
from encodec_cli.stream.headers import check_same_model, header_for
from encodec_cli.stream.signals import decode, encode


def test_the_package_exports_the_api() -> None:
    assert encodec_cli.encode is encode
    assert encodec_cli.decode is decode


@pytest.mark.parametrize("samples", [1, 12, 53, 54, 61, 500, 2999])
@pytest.mark.parametrize("make", [tiny_model, segment_model])
def test_a_file_between_changes_nothing(make: Any, samples: int, tmp_path: Path) -> None:
    model = make()
    wav = torch.from_numpy(wave(samples, model.channels))
    ecdc = encode(model, wav, n_q=3)
    path = tmp_path / "x.ecdc"
    write_ecdc(path, ecdc)
    back = read_ecdc(path)
    assert back.header == ecdc.header
    np.testing.assert_array_equal(back.codes, ecdc.codes)
    out = decode(model, back)
    assert out.shape == wav.shape
    assert out.dtype == torch.float32
    assert torch.equal(out, decode(model, ecdc))


@pytest.mark.parametrize("make", [tiny_model, segment_model])
def test_whole_signals_take_the_path_of_streams(make: Any) -> None:
    model = make()
    wav = wave(2100, model.channels)
    ecdc = encode(model, torch.from_numpy(wav), n_q=2)
    encoder, decoder = stream_encoder(model, 2), stream_decoder(model)
    chunks = [c for i in range(0, 2100, 77) for c in encoder.push(wav[:, i : i + 77])]
    chunks += encoder.finish()
    np.testing.assert_array_equal(np.concatenate([c.codes for c in chunks], 1), ecdc.codes)
    pieces = [decoder.push(c.codes, c.scale) for c in chunks]
    streamed = np.concatenate([*pieces, decoder.finish()], axis=1)[:, :2100]
    np.testing.assert_array_equal(decode(model, ecdc).numpy(), streamed)


def test_bare_codes_decode_like_the_file() -> None:
    model = tiny_model()
    ecdc = encode(model, torch.from_numpy(wave(240)), n_q=3)
    expected = decode(model, ecdc)
    for codes in (
        ecdc.codes,
        ecdc.codes.astype(np.int64),
        torch.from_numpy(ecdc.codes.astype(int)),
    ):
        assert torch.equal(decode(model, codes), expected)
    assert decode(model, ecdc.codes[:, :3]).shape == (1, 36)


def test_fewer_codebooks_are_those_of_a_cheaper_encoding() -> None:
    model = tiny_model()
    wav = torch.from_numpy(wave(500))
    full, cheap = encode(model, wav, n_q=3), encode(model, wav, n_q=1)
    np.testing.assert_array_equal(full.codes[:1], cheap.codes)
    assert torch.equal(decode(model, full, n_q=1), decode(model, cheap))
    assert not torch.equal(decode(model, full), decode(model, cheap))
    for wrong in (0, 4):
        with pytest.raises(UsageError, match=f"{wrong} codebooks: only 1 to 3 are stored"):
            decode(model, full, n_q=wrong)


def test_codebooks_follow_from_the_bandwidth() -> None:
    model = tiny_model()  # 1/3 kb/s per codebook
    assert model.config.choose_codebooks() == 3  # 6 kb/s is more than there is
    assert model.config.choose_codebooks(bandwidth=0.7) == 2
    assert model.config.choose_codebooks(n_q=1) == 1
    with pytest.raises(UsageError, match="give bandwidth or n_q, not both"):
        model.config.choose_codebooks(bandwidth=1, n_q=1)
    with pytest.raises(UsageError, match="4 codebooks: tiny has 1 to 3"):
        encode(model, torch.zeros(1, 9), n_q=4)
    with pytest.raises(UsageError, match=r"bandwidth 0\.1 kb/s: tiny codes"):
        encode(model, torch.zeros(1, 9), bandwidth=0.1)


def test_a_model_with_more_than_6_kbps_per_codebook_has_a_default() -> None:
    model = tiny_model(sample_rate=24000, target_bandwidths=[8])
    assert model.config.bandwidth_kbps(1) == 8
    assert model.config.choose_codebooks() == 1


@pytest.mark.parametrize(
    ("dtype", "middle", "step"),
    [(np.int16, 0, 2**-15), (np.int32, 0, 2**-31), (np.uint8, 128, 2**-7)],
)
def test_integers_have_the_range_of_their_type(dtype: Any, middle: int, step: float) -> None:
    """As in WAV files: the least is -1, the middle 0."""
    model = tiny_model()
    least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
    random = np.random.default_rng(1).integers(least, most, (1, 500), dtype, endpoint=True)
    random[0, :3] = least, middle, most
    floats = ((random.astype(np.float64) - middle) * step).astype(np.float32)
    assert floats[0, :2].tolist() == [-1, 0]

    expected = encode(model, floats).codes
    np.testing.assert_array_equal(encode(model, random).codes, expected)
    np.testing.assert_array_equal(encode(model, torch.from_numpy(random)).codes, expected)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_of_any_precision_are_coded(dtype: Any) -> None:
    model, wav = tiny_model(), wave(500).astype(np.float16)
    expected = encode(model, wav.astype(np.float32)).codes
    np.testing.assert_array_equal(encode(model, wav.astype(dtype)).codes, expected)
    np.testing.assert_array_equal(
        encode(model, torch.from_numpy(wav.astype(dtype))).codes, expected
    )


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, np.uint16, np.complex64])
def test_numbers_without_a_known_range_are_refused(dtype: Any) -> None:
    with pytest.raises(UsageError, match="give floats, int16, int32 or uint8"):
        encode(tiny_model(), np.zeros((1, 24), dtype))


@pytest.mark.parametrize("wrong", [[[0.0, 1.0]], "x.wav", None], ids=str)
def test_what_is_no_array_is_refused(wrong: Any) -> None:
    for code in (encode, decode):
        with pytest.raises(UsageError, match=r"a (list|str|NoneType): give an array or a tensor"):
            code(tiny_model(), wrong)
        with pytest.raises(UsageError, match="is no model; give what load_model returns"):
            code(wrong, np.zeros((1, 24), np.float32))


def test_arrays_give_arrays_and_tensors_tensors() -> None:
    modules = tiny_model()
    codec = modules.codec()
    wav = wave(240)
    ecdc = encode(codec, wav)
    np.testing.assert_array_equal(encode(codec, torch.from_numpy(wav)).codes, ecdc.codes)
    expected = decode(codec, ecdc)
    assert isinstance(expected, np.ndarray)
    assert expected.dtype == np.float32
    whole = torch.from_numpy(ecdc.codes.astype(np.int64))
    assert isinstance(decode(codec, ecdc.codes), np.ndarray)
    for found in (decode(codec, whole), decode(modules, ecdc), decode(modules, ecdc.codes)):
        assert isinstance(found, torch.Tensor)
        np.testing.assert_array_equal(found.numpy(), expected)


@pytest.mark.parametrize("shape", [(24,), (2, 24), (1, 1, 24)])
def test_waves_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"wav of shape .*this model codes \[1, N\]"):
        encode(tiny_model(), torch.zeros(shape))


def test_waves_without_sound_are_refused() -> None:
    with pytest.raises(AudioError, match="holds no samples"):
        encode(tiny_model(), torch.zeros(1, 0))
    for odd, name in ((float("nan"), "NaN"), (-float("inf"), "Inf"), (-30_000.0, "3e\\+04 times")):
        with pytest.raises(AudioError, match=f"sample 1 is {name}"):
            encode(tiny_model(), torch.tensor([[0.0, odd]]))
        with pytest.raises(AudioError, match=f"sample 1 is {name}"):
            stream_encoder(tiny_model(), 1).push(np.array([[0.0, odd]], np.float32))


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.zeros((2, 0), np.uint16), "not empty"),
        (np.zeros(5, np.uint16), r"give whole numbers \[K, T\]"),
        (np.zeros((1, 5)), r"float64: give whole numbers"),
        (np.full((1, 5), -1), "codes -1 to -1: tiny has codes 0 to 15"),
        (np.full((1, 5), 16), "codes 16 to 16: tiny has codes 0 to 15"),
        (np.full((1, 5), 65536), "codes 65536 to 65536: tiny has codes 0 to 15"),
        (np.zeros((4, 5), int), "4 codebooks: tiny has 1 to 3"),
        (np.zeros((999, 5), int), "999 codebooks: tiny has 1 to 3"),
    ],
)
def test_bare_codes_that_the_model_has_not_are_refused(codes: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        decode(tiny_model(), codes)


@pytest.mark.parametrize("normalize", [True, False])
def test_bare_codes_of_segments_are_refused(normalize: bool) -> None:
    with pytest.raises(UsageError, match="tiny codes segments; give an Ecdc"):
        decode(segment_model(normalize=normalize), np.zeros((1, 5), int))


def test_codes_beyond_the_codebook_are_refused() -> None:
    """16 codes of 5 bits each would fit in the file."""
    model = tiny_model(quantizer={"bins": 12})
    ecdc = encode(model, torch.from_numpy(wave(99)), n_q=1)
    damaged = replace(ecdc, codes=np.full_like(ecdc.codes, 13))
    with pytest.raises(UsageError, match="code 13: tiny has codes 0 to 11"):
        decode(model, damaged)


def test_files_of_other_models_are_refused() -> None:
    model = tiny_model()
    ecdc = encode(model, torch.from_numpy(wave(99)))
    with pytest.raises(UsageError, match="coded by model tiny, not other"):
        decode(with_name(model, "other"), ecdc)

    model.sha256 = "a" * 64
    ecdc = encode(model, torch.from_numpy(wave(99)))
    assert ecdc.header.model_sha256 == "a" * 64
    decode(model, ecdc)
    model.sha256 = "b" * 64
    with pytest.raises(UsageError, match=r"other weights of tiny \(SHA-256 a{12}"):
        decode(model, ecdc)
    model.sha256 = None  # of unknown origin: nothing to compare
    decode(model, ecdc)

    with pytest.raises(UsageError, match="rates of the file do not fit model tiny"):
        check_same_model(model.codec(), replace(ecdc.header, sample_rate=2000))


def test_headers_say_what_the_model_is() -> None:
    header = header_for(segment_model().codec(), 2)
    assert (header.segment, header.stride, header.has_scale) == (60, 54, True)
    assert (header.hop, header.bits, header.codebooks, header.chunk_frames) == (12, 4, 2, 5)
    assert header_for(tiny_model().codec(), 1, chunk_frames=16).chunk_frames == 16
    with pytest.raises(ContainerError, match="format 0 knows only encodec_24khz"):
        header_for(tiny_model().codec(), 1, version=0)


def test_encoding_leaves_the_model_as_it_was() -> None:
    model = tiny_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    decode(model, encode(model, torch.from_numpy(wave(99)), n_q=1))
    assert model.quantizer.n_q == 3
    assert not model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_model_made_in_inference_mode_codes() -> None:
    wav, model = torch.from_numpy(wave(99)), tiny_model()
    with torch.inference_mode():
        other = tiny_model()
        other.load_state_dict(model.state_dict())
        codes = encode(other, wav, n_q=2).codes
    np.testing.assert_array_equal(codes, encode(model, wav, n_q=2).codes)
