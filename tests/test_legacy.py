"""Files of encodec.cpp and Encodec-Stream, read only when asked for."""

import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from cli_samples import run
from ecdc_samples import Pipe, assert_same_chunks, assert_same_codes, chunks_of, make_ecdc
from meta_models import FILTER, meta_model, save_state
from numpy.typing import NDArray
from test_container_v0 import meta_file

from encodec_cli.container import CodeChunk, EcdcReader, Legacy, v0_header
from encodec_cli.container.codes import pack_rows, pack_time_major, unpack_bits
from encodec_cli.errors import ContainerError


def cpp_file(codes: NDArray[np.uint16], samples: int) -> bytes:
    """As encodec.cpp writes it: keys sorted, one book after the other in one bit run."""
    header = {"al": samples, "lm": False, "m": "encodec_24khz", "nc": codes.shape[0]}
    text = json.dumps(header, separators=(",", ":")).encode()
    run_of_all = pack_rows(codes.reshape(1, -1), 10)
    return b"ECDC" + struct.pack(">BI", 0, len(text)) + text + run_of_all


def stream_file(codes: NDArray[np.uint16], samples: int, **extra: Any) -> bytes:
    """As Encodec-Stream writes a 24 kHz file."""
    content = {"m": "encodec_24khz", "al": samples, "nc": codes.shape[0], "lm": False} | extra
    return meta_file(pack_time_major(codes, 10), 193, **content)


def some_codes(codebooks: int, frames: int) -> NDArray[np.uint16]:
    return np.random.default_rng(1).integers(0, 1024, (codebooks, frames)).astype(np.uint16)


@pytest.mark.parametrize("frames", [1, 80, 161, 163])
@pytest.mark.parametrize("codebooks", [3, 16])
def test_encodec_cpp_codes_come_out_in_chunks(codebooks: int, frames: int) -> None:
    ecdc = make_ecdc(v0_header("encodec_24khz", codebooks=codebooks), frames * 320 - 5)
    data = cpp_file(ecdc.codes, frames * 320 - 5)

    for file in (io.BytesIO(data), Pipe(data, dribble=True)):
        reader = EcdcReader(file, legacy="encodec-cpp")
        assert_same_chunks(reader, chunks_of(ecdc))
        assert reader.warnings == ()


def test_the_warning_names_the_option() -> None:
    reader = EcdcReader(io.BytesIO(cpp_file(some_codes(16, 10), 3200)))

    assert "encodec-cli decode --legacy encodec-cpp reads it" in reader.warnings[0]


@pytest.mark.parametrize(
    ("data", "legacy", "message"),
    [
        (cpp_file(some_codes(16, 10), 3200)[:-1], "encodec-cpp", "there are only 199"),
        (cpp_file(some_codes(16, 10), 3200) + b"1", "encodec-cpp", "there are more"),
        (cpp_file(some_codes(16, 10), 1 << 40), "encodec-cpp", "up to 67108864 bytes"),
        (meta_file(bytes(9), m="encodec_48khz", al=9, nc=2, lm=False), "encodec-cpp", "24khz only"),
        (meta_file(b"", m="encodec_24khz", al=9, nc=2, lm=True), "encodec-cpp", "language-model"),
        (stream_file(some_codes(2, 3), 960), "encodec-cpp", "Encodec-Stream"),
        (stream_file(some_codes(2, 3), 960), None, "decode it with legacy=encodec-stream"),
        (stream_file(some_codes(2, 3), 960, lm=True), "encodec-stream", "language-model"),
        (stream_file(some_codes(2, 3), 960, sr="x"), "encodec-stream", "sr must be 1000 to"),
        (stream_file(some_codes(2, 3), 960, sr=1 << 40), "encodec-stream", "sr must be 1000 to"),
        (stream_file(some_codes(2, 3), 960, acv=2), "encodec-stream", "encodec-rs"),
        (stream_file(some_codes(2, 3), 960)[:-1], "encodec-stream", "truncated"),
    ],
)
def test_what_cannot_be_read_is_named(data: bytes, legacy: Legacy | None, message: str) -> None:
    with pytest.raises(ContainerError, match=message):
        EcdcReader(io.BytesIO(data), legacy=legacy)


@pytest.mark.parametrize("version", [0, 192, 193])
def test_encodec_stream_says_at_which_rate_to_play(version: int) -> None:
    codes = some_codes(2, 100)
    extra = {"br": 1.5, "sr": 22_050, "n": "name", "s": "https://example.org", "t": ""}
    data = bytearray(stream_file(codes, 32_000, **extra))
    data[4] = version
    reader = EcdcReader(io.BytesIO(bytes(data)), legacy="encodec-stream")

    assert reader.play_rate == 22_050
    assert reader.header.sample_rate == 24_000
    chunks = [chunk for chunk in reader if isinstance(chunk, CodeChunk)]
    assert_same_codes(np.concatenate([chunk.codes for chunk in chunks], axis=1), codes)


def test_bits_of_a_run_are_found_anywhere() -> None:
    codes = some_codes(1, 40)
    data = pack_rows(codes, 10)

    for first, count in ((0, 40), (1, 1), (7, 20), (39, 1)):
        got = unpack_bits(data, 10, first=first, count=count)
        assert_same_codes(got, codes[0, first : first + count])
    with pytest.raises(ContainerError, match="there are 50 bytes"):
        unpack_bits(data, 10, first=30, count=11)


@pytest.mark.slow
@pytest.mark.filterwarnings(FILTER)
def test_decoding_by_the_command_line(tmp_path: Path) -> None:
    weights = save_state(meta_model("encodec_24khz"), tmp_path / "codec.th")
    codes = some_codes(2, 20)
    files = {
        "plain": meta_file(pack_time_major(codes, 10), m="encodec_24khz", al=6400, nc=2, lm=False),
        "encodec-cpp": cpp_file(codes, 6400),
        "encodec-stream": stream_file(codes, 6400, sr=22_050),
    }
    audio, rates = {}, {}
    for name, data in files.items():
        path = tmp_path / f"{name}.ecdc"
        path.write_bytes(data)
        options = () if name == "plain" else ("--legacy", name)
        run("decode", path, path.with_suffix(".wav"), "--model", weights, *options).ok()
        audio[name], rates[name] = soundfile.read(path.with_suffix(".wav"))

    assert rates == {"plain": 24_000, "encodec-cpp": 24_000, "encodec-stream": 22_050}
    for samples in audio.values():
        np.testing.assert_array_equal(samples, audio["plain"])
