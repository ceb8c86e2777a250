"""Models whose decoder looks ahead code on after the end, so that the end does not fade out."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from cases import mostly_slow
from cli_samples import (
    HOP,
    make_model,
    mono_config,
    run,
    write_audio,
    write_model,
)
from ecdc_samples import file_bytes, make_ecdc, small_header, streamed_bytes
from tiny_models import segment_model, tiny_config, tiny_model, wave

from encodec_cli.audio import read_whole
from encodec_cli.checkpoints.modules import load_module
from encodec_cli.config.bundled import configs_folder
from encodec_cli.config.codec import CodecConfig, load_codec_config
from encodec_cli.config.timing import decoder_lookahead, end_padding
from encodec_cli.container import Ecdc, EcdcReader, peel, read_ecdc, summarize, verify
from encodec_cli.errors import ContainerError, UsageError
from encodec_cli.model.module import CompressionModel
from encodec_cli.stream.encoder import stream_encoder
from encodec_cli.stream.headers import check_same_model, header_for
from encodec_cli.stream.signals import decode, encode
from encodec_cli.tokens import TokenInfo, TokenItem, ecdc_item, item_ecdc

SAMPLES = Path(__file__).resolve().parent.parent / "samples"
AHEAD: list[dict[str, Any]] = [
    {"seanet": {"decoder": {"trim_right_ratio": 0.0}}},
    {"channels": 2, "seanet": {"pad_mode": "replicate", "decoder": {"trim_right_ratio": 0.4}}},
    {"seanet": {"lstm": 1, "decoder": {"trim_right_ratio": 0.0}}},
]


@pytest.fixture(scope="module")
def ahead(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of an untrained model of 24 kHz that looks ahead."""
    config = mono_config()
    config = replace(config, decoder=replace(config.decoder, trim_right_ratio=0.0))
    return write_model(tmp_path_factory.mktemp("ahead") / "ahead.safetensors", make_model(config))


def test_only_causal_decoders_that_look_ahead_need_padding() -> None:
    def of(name: str) -> CodecConfig:
        return load_codec_config(configs_folder() / f"{name}.yaml")

    assert end_padding(of("ecli_24khz")) == 320
    for name in ("encodec_24khz", "encodec_48khz", "musicgen_32khz"):
        assert end_padding(of(name)) == 0
    assert [end_padding(tiny_config(**changes)) for changes in AHEAD] == [12, 7, 12]
    assert end_padding(tiny_config()) == end_padding(tiny_config(seanet={"causal": False})) == 0
    segments = tiny_config(segment_seconds=0.06, **AHEAD[0])
    assert decoder_lookahead(segments.decoder) > 0
    assert end_padding(segments) == 0


@pytest.mark.parametrize("changes", AHEAD)
@pytest.mark.parametrize(
    "samples", mostly_slow([1, 12, 97, 3, 4, 11, 13, 84, 95, 96, 1056, 1057], 3)
)
def test_codes_are_those_of_the_signal_and_silence(changes: dict[str, Any], samples: int) -> None:
    model = tiny_model(**changes).double()
    padding, channels = end_padding(model.config), model.channels
    wav = wave(samples, channels)
    padded = np.concatenate((wav, np.zeros((channels, padding), np.float32)), axis=1)
    codes, _ = model.encode(torch.from_numpy(padded).double()[None])
    for pushed in (1, 7, samples):
        encoder = stream_encoder(model, 3, chunk_frames=8)
        chunks = [
            chunk
            for start in range(0, samples, pushed)
            for chunk in encoder.push(wav[:, start : start + pushed])
        ]
        chunks += encoder.finish()
        assert all(chunk.frames == 8 for chunk in chunks[:-1])
        np.testing.assert_array_equal(np.concatenate([c.codes for c in chunks], 1), codes[0])
    found = decode(model, encode(model, torch.from_numpy(wav), n_q=3))
    assert found.shape == (channels, samples)
    expected = model.decode(codes)[0, :, :samples].numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_a_stream_of_nothing_gets_no_padding() -> None:
    encoder = stream_encoder(tiny_model(**AHEAD[0]), 1)
    assert encoder.push(np.zeros((1, 0), np.float32)) == []
    assert encoder.finish() == []


def test_codes_without_padding_decode_as_they_did() -> None:
    """Files made before there was any, and bare codes: all that the frames hold, to the bit."""
    model = tiny_model(**AHEAD[0])
    wav = torch.from_numpy(wave(500))
    ecdc = encode(model, wav, n_q=3)
    before = Ecdc(replace(ecdc.header, end_padding=0), ecdc.codes[:, :-1])
    data = file_bytes(before)
    assert b'"e":' not in data
    whole = model.decode(torch.from_numpy(before.codes.astype(np.int64))[None])[0]
    assert whole.shape == (1, 504)
    for codes in (read_ecdc(io.BytesIO(data)), before.codes):
        found = decode(model, codes)
        np.testing.assert_allclose(found, whole[:, : found.shape[1]], rtol=0, atol=1e-6)
    assert found.shape == (1, 504)
    new = decode(model, ecdc)
    bare = decode(model, ecdc.codes)
    assert bare.shape == (1, 516)
    assert torch.equal(new, bare[:, :500])
    assert not torch.allclose(new[:, -12:], whole[:, 488:500], rtol=0, atol=1e-4)


@pytest.mark.parametrize("samples", [1, 2240, 2241, 2560, 2561, 48_000])
def test_files_hold_the_frames_after_the_end(samples: int) -> None:
    """7 and 8 frames of sound, in chunks of 8: the frame after them may take a chunk of its own."""
    ecdc = make_ecdc(small_header(end_padding=320), samples)
    frames = -(-samples // 320) + 1
    assert ecdc.codes.shape == (2, frames)
    data = streamed_bytes(ecdc)
    assert b'"e":320' in data
    again = read_ecdc(io.BytesIO(data))
    assert again.header == ecdc.header
    np.testing.assert_array_equal(again.codes, ecdc.codes)
    assert verify(io.BytesIO(data)) == []
    summary = summarize(io.BytesIO(data))
    assert (summary.frames, summary.chunks) == (frames, -(-frames // 8))
    assert summary.duration == samples / 24_000
    reader = EcdcReader(io.BytesIO(data))
    reader.seek(summary.chunks - 1)
    assert sum(chunk.frames for chunk in reader) == (frames - 1) % 8 + 1
    peeled = io.BytesIO()
    peel(EcdcReader(io.BytesIO(data)), peeled, 1)
    cheap = Ecdc(replace(ecdc.header, codebooks=1), ecdc.codes[:1])
    assert peeled.getvalue() == streamed_bytes(cheap)


def test_less_than_a_hop_of_padding_may_fit_in_the_last_frame() -> None:
    header = small_header(end_padding=100)
    for samples, frames in ((1, 1), (220, 1), (221, 2), (2460, 8), (2461, 9)):
        assert header.frames_before(header.chunk_count(samples), samples) == frames


@pytest.mark.parametrize("padding", [-1, 1.0, True, "1", None, (1 << 24) + 1])
def test_padding_out_of_range_is_refused(padding: Any) -> None:
    with pytest.raises(ContainerError, match="header: end_padding must be an integer from 0"):
        small_header(end_padding=padding)


def test_padding_where_there_can_be_none_is_refused() -> None:
    with pytest.raises(ContainerError, match="for whole signals, not for segments"):
        replace(header_for(segment_model().codec(), 2), end_padding=1)
    meta = {"name": "encodec_24khz", "sample_rate": 24_000, "target_bandwidths": [1.5]}
    model = CompressionModel(mono_config(**meta))
    assert header_for(model.codec(), 2, version=0).version == 0
    model.config = replace(
        model.config, decoder=replace(model.config.decoder, trim_right_ratio=0.0)
    )
    with pytest.raises(ContainerError, match="encodec_24khz has end_padding 0, got 320"):
        header_for(model.codec(), 2, version=0)


@pytest.mark.parametrize("changes", [{}, *AHEAD])
def test_more_padding_than_the_model_looks_ahead_is_refused(changes: dict[str, Any]) -> None:
    """The decoder has given such samples out before it knows that they are padding."""
    model = tiny_model(**changes)
    header, most = header_for(model.codec(), 2), decoder_lookahead(model.config.decoder)
    check_same_model(model.codec(), replace(header, end_padding=most))
    with pytest.raises(UsageError, match=f"has {most + 1} samples of end padding, more than"):
        check_same_model(model.codec(), replace(header, end_padding=most + 1))


def test_padding_survives_files_of_tokens() -> None:
    model = tiny_model(**AHEAD[0])
    ecdc = encode(model, torch.from_numpy(wave(500)), n_q=3)
    assert ecdc.codes.shape == (3, 43)
    item = ecdc_item(EcdcReader(io.BytesIO(file_bytes(ecdc))), "a", "a.wav")
    assert item.metadata()["end_padding"] == 12
    back = item_ecdc(item, header_for(model.codec(), 3))
    assert back.header == ecdc.header
    # Without the key there is none, as in files made before and by other programs.
    bare = item_ecdc(TokenItem("a", item.codes), header_for(model.codec(), 3))
    assert (bare.header.end_padding, bare.header.num_samples) == (0, 43 * 12)
    older = TokenItem("a", item.codes[:, :42], info=TokenInfo(num_samples=500))
    found = item_ecdc(older, header_for(model.codec(), 3))
    assert decode(model, found).shape == (1, 500)


@pytest.mark.slow
@pytest.mark.parametrize("samples", [1, 319, 320, 321, 79 * HOP, 80 * HOP, 80 * HOP + 1])
def test_pipes_and_parts_are_the_whole(tmp_path: Path, ahead: Path, samples: int) -> None:
    source, coded = write_audio(tmp_path / "a.wav", samples), tmp_path / "a.ecdc"
    run("encode", source, coded, "-m", ahead).ok()
    assert run("encode", "-", "-", "-m", ahead, stdin=source.read_bytes()).stdout == (
        coded.read_bytes()
    )
    decoded = tmp_path / "b.wav"
    run("decode", coded, decoded, "-m", ahead, "--encoding", "float").ok()
    whole = soundfile.read(decoded, dtype="float32")[0]
    assert whole.shape == (samples,)
    piped = run("decode", "-", "-", "-m", ahead, "--encoding", "float", stdin=coded.read_bytes())
    np.testing.assert_array_equal(
        soundfile.read(io.BytesIO(piped.stdout), dtype="float32")[0], whole
    )
    for first in {0, samples // 2, samples - 1}:
        part = decode(load_module(ahead), read_ecdc(coded), start=first / 24_000)[0].numpy()
        np.testing.assert_allclose(part, whole[first:], rtol=0, atol=1e-6)
    live = tmp_path / "live.ecdc"
    run("encode", source, live, "-m", ahead, "--latency", "40").ok()
    run("decode", live, decoded, "-m", ahead, "--encoding", "float", "--force").ok()
    np.testing.assert_allclose(
        soundfile.read(decoded, dtype="float32")[0], whole, rtol=0, atol=1e-4
    )


def test_a_lost_end_keeps_the_length_and_a_cut_file_what_is_whole(
    tmp_path: Path, ahead: Path
) -> None:
    source, coded = write_audio(tmp_path / "a.wav", 80 * HOP), tmp_path / "a.ecdc"
    run("encode", source, coded, "-m", ahead).ok()
    run("decode", coded, tmp_path / "whole.wav", "-m", ahead, "--encoding", "float").ok()
    whole = soundfile.read(tmp_path / "whole.wav", dtype="float32")[0]
    reader = EcdcReader(io.BytesIO(coded.read_bytes()))
    assert reader.index is not None
    assert reader.index.chunks == 2
    start, end = int(reader.index.offsets[1]), int(reader.index.offsets[2])
    data = bytearray(coded.read_bytes())
    data[end - 6] ^= 0xFF
    found = {}
    for name, content in (("lost", data), ("cut", data[: start + 3])):
        path = tmp_path / f"{name}.ecdc"
        path.write_bytes(content)
        target = tmp_path / f"{name}.wav"
        result = run("decode", path, target, "-m", ahead, "--encoding", "float", "--conceal")
        assert result.code == 1
        found[name] = soundfile.read(target, dtype="float32")[0]
    # A cut file does not say where its sound ends; its last frame lacks the next one.
    assert (len(found["lost"]), len(found["cut"])) == (80 * HOP, 79 * HOP)
    sure = 80 * HOP - decoder_lookahead(load_module(ahead).config.decoder)
    for audio in found.values():
        np.testing.assert_array_equal(audio[:sure], whole[:sure])


@pytest.mark.slow
def test_the_end_of_a_cut_recording_is_as_near_as_its_middle() -> None:
    """The bundled model's last 7 ms of sounds cut off, against the same 7 ms of the whole."""
    model = load_module()
    last = HOP // 2
    errors: dict[str, list[float]] = {"end": [], "middle": [], "unpadded": []}
    for name in ("speech.wav", "music.wav"):
        wav = torch.from_numpy(read_whole(SAMPLES / name, model.sample_rate, model.channels))
        inside = decode(model, encode(model, wav))
        for end in range(12_000, wav.shape[1] - 2000, 9007):
            cut = wav[:, end - 28 * HOP : end]
            if float(cut[:, -last:].std()) < 0.02:
                continue
            ecdc = encode(model, cut)
            unpadded = Ecdc(replace(ecdc.header, end_padding=0), ecdc.codes[:, :-1], ecdc.scales)
            for key, audio in (
                ("end", decode(model, ecdc)),
                ("middle", inside[:, :end]),
                ("unpadded", decode(model, unpadded)),
            ):
                errors[key].append(relative_db(audio[:, -last:], cut[:, -last:]))
    means = {key: float(np.mean(values)) for key, values in errors.items()}
    assert len(errors["end"]) > 20
    assert means["end"] < means["middle"] + 3
    assert means["unpadded"] > means["end"] + 5


def relative_db(found: torch.Tensor, wanted: torch.Tensor) -> float:
    error = float((found - wanted).square().sum() / wanted.square().sum())
    return 10 * float(np.log10(error))
