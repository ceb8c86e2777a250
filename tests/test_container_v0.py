"""Format 0: byte-identical with Meta's files, and clear about everything that only looks alike."""

import importlib.util
import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ecdc_samples import (
    Pipe,
    assert_same_chunks,
    assert_same_codes,
    chunks_of,
    file_bytes,
    make_ecdc,
    outline,
    read_all,
    small_header,
    streamed_bytes,
)

from encodec_cli.container import (
    EcdcReader,
    EcdcWriter,
    read_ecdc,
    summarize,
    v0_header,
    verify,
)
from encodec_cli.container.codes import CodeChunk
from encodec_cli.errors import ContainerError

# Meta fixed these bytes in 2022. They can only change if this program stops being compatible.
GOLDEN_24KHZ = (
    b'ECDC\x00\x00\x00\x00\x37{"m": "encodec_24khz", "al": 640, "nc": 2, "lm": false}'
    b"\x01\x08\x30\xc0\xff"
)


def meta_file(payload: bytes, version: int = 0, **content: Any) -> bytes:
    text = json.dumps(content).encode()
    return b"ECDC" + struct.pack(">BI", version, len(text)) + text + payload


def metas_binary_module() -> Any:
    """`encodec.binary` alone: the package around it imports torchaudio, which this needs not."""
    package = importlib.util.find_spec("encodec")
    if package is None or not package.submodule_search_locations:
        pytest.skip("Meta's encodec is not installed")
    path = Path(package.submodule_search_locations[0]) / "binary.py"
    spec = importlib.util.spec_from_file_location("encodec_binary", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def plain(**changes: Any) -> bytes:
    """One second of silence-like codes at 24 kHz, 2 codebooks."""
    content = {"m": "encodec_24khz", "al": 24000, "nc": 2, "lm": False} | changes
    return meta_file(bytes(188), **content)


def test_golden_bytes() -> None:
    ecdc = make_ecdc(v0_header("encodec_24khz", codebooks=2), 640)
    ecdc.codes[:] = [[1, 3], [2, 1023]]

    assert file_bytes(ecdc) == GOLDEN_24KHZ
    assert_same_codes(read_ecdc(io.BytesIO(GOLDEN_24KHZ)).codes, ecdc.codes)


@pytest.mark.parametrize(
    ("model", "codebooks", "samples"),
    [
        ("encodec_24khz", 8, 30_001),
        ("encodec_24khz", 3, 100),
        ("encodec_48khz", 2, 48_000),
        ("encodec_48khz", 3, 47_520 * 2 + 100),
    ],
)
def test_bytes_are_those_of_metas_own_code(model: str, codebooks: int, samples: int) -> None:
    binary = metas_binary_module()
    ecdc = make_ecdc(v0_header(model, codebooks=codebooks), samples)
    whole = ecdc.header.segment is None
    expected = io.BytesIO()
    binary.write_ecdc_header(expected, {"m": model, "al": samples, "nc": codebooks, "lm": False})
    runs = [CodeChunk(ecdc.codes)] if whole else chunks_of(ecdc)
    for run in runs:
        if run.scale is not None:
            expected.write(struct.pack("!f", run.scale))
        packer = binary.BitPacker(10, expected)
        for code in run.codes.T.ravel().tolist():
            packer.push(code)
        packer.flush()

    assert file_bytes(ecdc) == expected.getvalue()
    assert streamed_bytes(ecdc) == expected.getvalue()


@pytest.mark.parametrize("dribble", [False, True], ids=["blocks", "bytewise"])
@pytest.mark.parametrize("model", ["encodec_24khz", "encodec_48khz"])
@pytest.mark.parametrize("samples", [1, 320, 25_600, 47_520, 47_521, 95_200, 96_000])
def test_reading_gives_back_what_was_written(model: str, samples: int, dribble: bool) -> None:
    ecdc = make_ecdc(v0_header(model, codebooks=4), samples)
    reader = EcdcReader(Pipe(file_bytes(ecdc), dribble=dribble))

    assert reader.header == ecdc.header
    assert reader.num_samples == samples
    assert_same_chunks(reader, chunks_of(ecdc))
    again = read_ecdc(io.BytesIO(file_bytes(ecdc)))
    assert_same_codes(again.codes, ecdc.codes)
    assert (again.scales is None) == (ecdc.scales is None)
    if again.scales is not None:
        np.testing.assert_array_equal(again.scales, ecdc.scales)


def test_frames_of_all_multiples_of_the_hop_are_exact() -> None:
    # Meta's 0.1.1 computes them in floats and is one too many for 6720 samples, among others.
    header = v0_header("encodec_24khz", codebooks=2)

    for frames in (*range(1, 2000), 21, 75 * 3600 * 24):
        chunks = header.chunk_count(320 * frames)
        assert header.frames_before(chunks, 320 * frames) == frames


def test_the_segment_before_a_tiny_last_one_is_short_too() -> None:
    header = v0_header("encodec_48khz", codebooks=2)

    lengths = [header.frames_in_chunk(i, 2 * 47_520 + 100) for i in range(3)]

    assert lengths == [150, 149, 1]


def test_header_may_have_any_key_order_spacing_and_extra_keys() -> None:
    text = b'{ "lm":false,"x":[1], "nc" : 2,\n"al":24000, "m":"encodec_24khz"}'
    data = b"ECDC" + struct.pack(">BI", 0, len(text)) + text + bytes(188)

    assert read_ecdc(io.BytesIO(data)).header == v0_header(
        "encodec_24khz", codebooks=2, num_samples=24000
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "WAV"),
        (b"FORM\x00\x00\x00\x00AIFF", "AIFF"),
        (b"OggS\x00\x02", "Ogg"),
        (b"fLaC\x00", "FLAC"),
        (b"ID3\x04", "MP3"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"PK\x03\x04", "zip"),
        (b"\x00\x00\x00\x20ftypM4A ", "M4A"),
        (b"\n <!DOCTYPE html><html>", "HTML"),
        (bytes.fromhex("4b454e43010d0a1a"), "kilix"),
        (b"hello, world", "starts with 68 65 6c 6c instead of 45 43 44 43"),
        (b"EC", "truncated: the file ends after 2 bytes"),
        (b"ECDC\x00\x00", "truncated: the file ends after 6 bytes"),
        (b"ECDC\x07\x00\x00\x00\x02{}", "format version 7"),
        (meta_file(b"", 193, m="encodec_24khz"), "Encodec-Stream"),
        (meta_file(b"", 192, m="encodec_24khz"), "Encodec-Stream"),
        (plain(sr=48000), "Encodec-Stream"),
        (b"ECDC\x00\xff\xff\xff\xff{}", "header of 4294967295 bytes"),
        (b"ECDC\x00\x00\x00\x00\x09{}", "truncated: the file ends after 11 bytes"),
        (b"ECDC\x00\x00\x00\x00\x02{]", "not JSON"),
        (b"ECDC\x00\x00\x00\x00\x02\xff\xfe", "not JSON"),
        (b"ECDC\x00\x00\x00\x00\x02[]", "not a JSON object"),
        (b"ECDC\x00\x00\x00\xea\x60" + b"[" * 60_000, "not JSON"),
        (b"ECDC\x00\x00\x00\xea\x60" + b"9" * 60_000, "not JSON"),
        (meta_file(b"", m="encodec_24khz", al=1), "lacks nc, lm"),
        (plain(m="ssf2020"), "knows only encodec_24khz and encodec_48khz, not 'ssf2020'"),
        (plain(m=7), "al must be an integer and m a text"),
        (plain(al=0), "no audio"),
        (plain(al=-1), "num_samples must be an integer from 1"),
        (plain(al=24000.0), "num_samples must be an integer"),
        (plain(al=True), "num_samples must be an integer"),
        (plain(al=None), "al must be an integer"),
        (plain(al=10**400), "a huge number"),
        (plain(nc=33), "at most 32 codebooks"),
        (plain(nc=0), "codebooks must be an integer from 1"),
        (plain(nc=None), "codebooks must be an integer from 1"),
        (plain(nc=[2]), "codebooks must be an integer from 1"),
        (plain(lm=1), "lm must be true or false"),
        (plain()[:-5], "truncated: 24000 samples take 188 bytes of codes, but 5 of them"),
        (plain() + b"12", "take 188 bytes of codes, but 2 more follow"),
        (plain(al=1 << 47), "truncated"),
        *((plain(**{key: 1}), "encodec-rs") for key in ("acv", "fp", "cs", "cst", "fl", "lmh")),
    ],
)
def test_foreign_and_broken_files_are_named(data: bytes, message: str) -> None:
    with pytest.raises(ContainerError, match=message):
        EcdcReader(io.BytesIO(data))
    assert message in "".join(verify(io.BytesIO(data)))


def test_a_pipe_that_ends_early_gives_what_came_and_then_fails() -> None:
    data = file_bytes(make_ecdc(v0_header("encodec_24khz", codebooks=2), 60_000))
    reader = EcdcReader(Pipe(data[:-1]))

    assert outline([next(reader), next(reader)]) == "oo"
    with pytest.raises(ContainerError, match="but 1 of them are missing"):
        next(reader)


def test_a_pipe_that_goes_on_fails_at_the_end() -> None:
    reader = EcdcReader(Pipe(plain() + b"123"))

    assert outline([next(reader)]) == "o"
    with pytest.raises(ContainerError, match="but 3 more follow"):
        next(reader)


def test_length_claims_of_a_pipe_allocate_nothing() -> None:
    reader = EcdcReader(Pipe(plain(al=1 << 47, nc=32)))

    with pytest.raises(ContainerError, match="truncated"):
        next(reader)


def test_a_scale_that_is_no_number_damages_its_chunk_only() -> None:
    data = bytearray(file_bytes(make_ecdc(v0_header("encodec_48khz", codebooks=2), 96_000)))
    second = EcdcReader(io.BytesIO(data)).index.offsets[1]  # type: ignore[union-attr]
    data[second : second + 4] = struct.pack(">f", float("nan"))

    got, error = read_all(bytes(data))

    assert outline(got) == "oxo"
    assert error is None
    assert verify(io.BytesIO(data)) == [
        f"chunk 1 at 0.99 s (byte {second}): scale nan is not a positive number"
    ]


def test_fill_bits_are_reported_but_do_not_spoil_the_codes() -> None:
    data = plain()[:-1] + b"\x80"

    assert outline(read_all(data)[0]) == "o"
    assert "fill bits" in verify(io.BytesIO(data))[0]


def test_only_the_layout_of_encodec_cpp_is_suspicious() -> None:
    text = b'{"al":320,"lm":false,"m":"encodec_24khz","nc":16}'
    suspect = b"ECDC" + struct.pack(">BI", 0, len(text)) + text + bytes(20)

    assert "encodec.cpp" in summarize(io.BytesIO(suspect)).warnings[0]
    assert summarize(io.BytesIO(plain())).warnings == ()


@pytest.mark.parametrize("model", ["encodec_24khz", "encodec_48khz"])
def test_seeking_goes_on_at_any_chunk(model: str) -> None:
    ecdc = make_ecdc(v0_header(model, codebooks=3), 3 * 47_520 + 100)
    expected = chunks_of(ecdc)
    reader = EcdcReader(io.BytesIO(file_bytes(ecdc)))

    for start in (len(expected) - 1, 0, len(expected) - 2, 1):
        reader.seek(start)
        assert_same_chunks(reader, expected[start:])
    with pytest.raises(ContainerError, match="cannot seek to chunk 99"):
        reader.seek(99)


def test_seeking_in_a_pipe_is_refused() -> None:
    with pytest.raises(ContainerError, match="cannot seek in a pipe"):
        EcdcReader(Pipe(plain())).seek(0)


def test_codes_wait_for_the_number_of_samples_unless_the_header_has_it() -> None:
    ecdc = make_ecdc(v0_header("encodec_24khz", codebooks=2), 25_600)
    waiting, passing = Pipe(), Pipe()
    late = EcdcWriter(waiting, v0_header("encodec_24khz", codebooks=2))
    early = EcdcWriter(passing, ecdc.header)
    for writer in (late, early):
        writer.write(chunks_of(ecdc)[0])

    assert not waiting.written
    assert bytes(passing.written) == file_bytes(ecdc)
    late.finish(25_600)
    assert waiting.written == passing.written


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "mine"}, "knows only encodec_24khz and encodec_48khz, not 'mine'"),
        ({"model": "encodec_24khz", "hop": 640}, "has hop 320, got 640"),
        ({"model": "encodec_24khz", "chunk_frames": 9}, "multiple of 8"),
        ({"model": "encodec_24khz", "tags": {"a": "b"}}, "cannot store tags"),
        ({"model": "encodec_24khz", "source_channels": 2}, "cannot store source_channels"),
    ],
)
def test_format_0_holds_nothing_but_metas_models(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ContainerError, match=message):
        small_header(version=0, **changes)


def test_other_models_need_format_1() -> None:
    with pytest.raises(ContainerError, match="knows only"):
        v0_header("mine", codebooks=2)
