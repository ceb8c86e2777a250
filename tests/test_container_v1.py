"""Format 1: round trips, exact bytes, size, live pipes, seeking, what writers may do."""

import io
import json
import struct
import zlib
from dataclasses import replace
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
    segment_header,
    small_header,
    streamed_bytes,
)

from encodec_cli.container import (
    CodeChunk,
    Ecdc,
    EcdcReader,
    EcdcWriter,
    Header,
    read_ecdc,
    verify,
    write_ecdc,
)
from encodec_cli.errors import ContainerError, OutputError

# If this test fails, files in the world become unreadable: changing the bytes means a new format
# version, not a new constant here.
GOLDEN = (
    b'ECDC\x01\x00\x00\x00\x40{"m":"tiny","r":24000,"c":1,"p":320,"k":2,"b":10,"f":8,"x":true}'
    + bytes.fromhex(
        "7f3dc1f7"  # CRC of the header
        "01 08 18 3f800000"  # raw codes, 8 frames, 24 bytes, scale 1.0
        "00d4a0c627d424e4d35c 121ec967ace66e0c75e1 139836ef"  # two codebooks, CRC
        "01 02 0a 3f000000 a87507 babf0f fa994989"  # 2 frames, 10 bytes, scale 0.5
        "00 00 07 b817 882b 02 1f 11 b238abd8"  # 3000 and 5512 samples, 2 chunks of 31 and 17
        "0000000e 43454e44"  # bytes of the end record, closing magic
    )
)


def header_bytes(**content: Any) -> bytes:
    """A format 1 header with any content and the right checksum."""
    text = json.dumps(content).encode()
    start = b"ECDC\x01" + struct.pack(">I", len(text)) + text
    return start + struct.pack(">I", zlib.crc32(start))


VALID = {"m": "tiny", "r": 24000, "c": 1, "p": 320, "k": 2, "b": 10, "f": 8}


def golden_ecdc() -> Ecdc:
    codes = np.arange(20, dtype=np.uint16).reshape(2, 10) * 53
    header = small_header(has_scale=True, num_samples=3000)
    return Ecdc(header, codes, np.array([1.0, 0.5], np.float32))


def test_golden_bytes() -> None:
    assert streamed_bytes(golden_ecdc(), 5512).hex() == GOLDEN.hex()
    read = read_ecdc(io.BytesIO(GOLDEN))
    assert_same_codes(read.codes, golden_ecdc().codes)
    assert read.scales is not None
    assert read.scales.tolist() == [1.0, 0.5]
    assert (read.header.num_samples, read.header.source_num_samples) == (3000, 5512)


@pytest.mark.parametrize("dribble", [False, True], ids=["blocks", "bytewise"])
@pytest.mark.parametrize(
    "header",
    [
        small_header(),
        small_header(bits=1, codebooks=1, chunk_frames=3),
        small_header(bits=16, has_scale=True, chunk_frames=4096, codebooks=1),
        segment_header(),
    ],
    ids=["whole", "one-bit", "sixteen-bits", "segments"],
)
@pytest.mark.parametrize("samples", [1, 2560, 2561, 47_521, 95_140, 142_560])
def test_reading_gives_back_what_was_written(header: Header, samples: int, dribble: bool) -> None:
    ecdc = make_ecdc(header, samples)
    reader = EcdcReader(Pipe(streamed_bytes(ecdc, 77), dribble=dribble))

    assert reader.header == replace(ecdc.header, num_samples=None)
    assert reader.num_samples is None
    assert_same_chunks(reader, chunks_of(ecdc))
    assert (reader.num_samples, reader.source_num_samples) == (samples, 77)
    assert reader.problems == []
    again = read_ecdc(io.BytesIO(file_bytes(ecdc)))
    assert again.header == ecdc.header
    assert_same_codes(again.codes, ecdc.codes)


def test_all_header_fields_survive() -> None:
    header = small_header(
        model="модель 1",
        model_sha256="0123456789abcdef" * 4,
        source_sample_rate=44100,
        source_channels=2,
        num_samples=5000,
        source_num_samples=9187,
        tags={"title": "Ünïcode", "artist": ""},
    )
    data = file_bytes(make_ecdc(header, 5000))

    assert EcdcReader(Pipe(data)).header == header
    assert EcdcReader(Pipe(data)).num_samples == 5000
    assert verify(io.BytesIO(data)) == []


def test_sixty_seconds_at_6_kbps_cost_at_most_2_percent_over_the_codes() -> None:
    header = small_header(
        model="encodec_24khz",
        model_sha256="f" * 64,
        codebooks=8,
        chunk_frames=80,
        source_sample_rate=44100,
        source_channels=2,
        num_samples=1_440_000,
        source_num_samples=2_646_000,
    )

    size = len(file_bytes(make_ecdc(header, 1_440_000)))

    assert header.bandwidth_kbps == 6.0
    assert 45_000 < size <= 45_900


def test_derived_properties() -> None:
    header = small_header(num_samples=36_000)

    assert header.frame_rate == 75.0
    assert header.bandwidth_kbps == 1.5
    assert header.duration == 1.5
    assert small_header().duration is None


def test_a_live_chunk_is_passed_on_whole_and_read_without_waiting_for_more() -> None:
    ecdc = make_ecdc(small_header(), 3 * 2560)
    first, second, _ = chunks_of(ecdc)
    pipe = Pipe()
    writer = EcdcWriter(pipe, replace(ecdc.header, num_samples=None))
    writer.write(first)
    after_first = len(pipe.written)
    writer.write(second)
    listener = Pipe(bytes(pipe.written))
    reader = EcdcReader(listener)

    assert_same_chunks([next(reader)], [first])
    assert listener.asked == after_first


def test_unbuffered_files_that_take_a_byte_at_a_time_get_everything() -> None:
    ecdc = make_ecdc(small_header(), 4000)
    pipe = Pipe(dribble=True)
    write_ecdc(pipe, ecdc)

    assert bytes(pipe.written) == file_bytes(ecdc)


@pytest.mark.parametrize("header", [small_header(), segment_header()], ids=["whole", "segments"])
def test_seeking_goes_on_at_any_chunk(header: Header) -> None:
    ecdc = make_ecdc(header, 3 * 47_520 + 100)
    expected = chunks_of(ecdc)
    file = io.BytesIO(b"something before" + streamed_bytes(ecdc, 5))
    file.seek(16)
    reader = EcdcReader(file)

    assert reader.index is not None
    assert reader.index.chunks == len(expected)
    assert (reader.index.num_samples, reader.index.source_num_samples) == (3 * 47_520 + 100, 5)
    for start in (len(expected) - 1, 0, len(expected) - 2, 1):
        reader.seek(start)
        assert_same_chunks(reader, expected[start:])
        assert reader.problems == []
    with pytest.raises(ContainerError, match="cannot seek to chunk 999"):
        reader.seek(999)


def test_asking_for_the_index_does_not_disturb_reading() -> None:
    ecdc = make_ecdc(small_header(), 10_000)
    reader = EcdcReader(io.BytesIO(file_bytes(ecdc)))
    expected = chunks_of(ecdc)

    assert_same_chunks([next(reader)], expected[:1])
    assert reader.index is not None
    assert_same_chunks(reader, expected[1:])


def test_there_is_no_index_in_a_pipe_or_without_the_end_mark() -> None:
    data = file_bytes(make_ecdc(small_header(), 10_000))

    assert EcdcReader(Pipe(data)).index is None
    for cut in range(1, 30):
        reader = EcdcReader(io.BytesIO(data[:-cut]))
        assert reader.index is None
        with pytest.raises(ContainerError, match="cannot seek: a pipe, or a file without"):
            reader.seek(0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"m": ""}, "model must be 1 to 200 printable"),
        ({"m": "x" * 201}, "model must be 1 to 200 printable"),
        ({"m": "\x1b[2J"}, "model must be 1 to 200 printable"),
        ({"m": "\ud800"}, "model must be 1 to 200 printable"),
        ({"m": ["tiny"]}, "model must be 1 to 200 printable"),
        ({"h": "F" * 64}, "model_sha256 must be 64 lower-case"),
        ({"h": 5}, "model_sha256 must be 64 lower-case"),
        ({"r": 0}, "sample_rate must be an integer from 1"),
        ({"r": None}, "sample_rate must be an integer from 1"),
        ({"c": 65}, "channels must be an integer from 1 to 64"),
        ({"p": -320}, "hop must be an integer"),
        ({"k": 129}, "codebooks must be an integer from 1 to 128"),
        ({"b": 17}, "bits must be an integer from 1 to 16"),
        ({"f": 4097}, "chunk_frames must be an integer from 1 to 4096"),
        ({"f": True}, "chunk_frames must be an integer"),
        ({"g": 2560}, "segment and stride go together"),
        ({"g": 2560, "s": 1279}, "stride must lie between half a segment and a segment"),
        ({"g": 2560, "s": 2561}, "stride must lie between half a segment and a segment"),
        ({"g": 2561, "s": 2500}, "a segment of 2561 samples has 9 frames"),
        ({"x": 1}, "has_scale must be a bool"),
        ({"n": 0}, "num_samples must be an integer from 1"),
        ({"n": 1 << 49}, "num_samples must be an integer"),
        ({"sn": "7"}, "source_num_samples must be an integer"),
        ({"sr": 1.5}, "source_sample_rate must be an integer"),
        ({"sc": 0}, "source_channels must be an integer"),
        ({"t": ["a"]}, "tags must map"),
        ({"t": {"a": 1}}, "tags must map"),
        ({"t": {"a": "two\nlines"}}, "tags must map"),
    ],
)
def test_headers_that_break_the_rules_are_refused(content: dict[str, Any], message: str) -> None:
    with pytest.raises(ContainerError, match=message):
        EcdcReader(io.BytesIO(header_bytes(**(VALID | content))))


def test_headers_that_are_no_object_or_lack_keys_are_refused() -> None:
    with pytest.raises(ContainerError, match="header lacks m, f,"):
        EcdcReader(io.BytesIO(header_bytes(**{key: VALID[key] for key in "rcpkb"})))
    start = b"ECDC\x01\x00\x00\x00\x02[]"
    with pytest.raises(ContainerError, match="not a JSON object"):
        EcdcReader(io.BytesIO(start + struct.pack(">I", zlib.crc32(start))))


def test_unknown_header_keys_are_ignored() -> None:
    assert EcdcReader(io.BytesIO(header_bytes(**VALID, zz=[1]))).header == small_header()


def test_tags_that_burst_the_header_are_refused() -> None:
    with pytest.raises(ContainerError, match="shorten the tags"):
        EcdcWriter(io.BytesIO(), small_header(tags={"text": "x" * 65536}))


def codes(frames: int, codebooks: int = 2) -> CodeChunk:
    return CodeChunk(np.zeros((codebooks, frames), np.uint16))


@pytest.mark.parametrize("version", [0, 1])
def test_writers_refuse_chunks_that_do_not_fit(version: int) -> None:
    header = small_header(version=version, model="encodec_24khz")
    file = io.BytesIO()
    writer = EcdcWriter(file, header)
    start = file.getvalue()

    with pytest.raises(ContainerError, match="chunk 0 has 3 codebooks, expected 2"):
        writer.write(codes(8, codebooks=3))
    with pytest.raises(ContainerError, match="chunk 0 has 9 frames, expected 1 to 8"):
        writer.write(codes(9))
    with pytest.raises(ContainerError, match=r"chunk 0 has scale 1\.0"):
        writer.write(replace(codes(8), scale=1.0))
    with pytest.raises(ContainerError, match="code 1024 does not fit"):
        writer.write(CodeChunk(np.full((2, 8), 1024, np.uint16)))
    assert file.getvalue() == start
    writer.write(codes(7))
    with pytest.raises(ContainerError, match="chunk 0 has fewer than 8 frames but is not at the"):
        writer.write(codes(8))


@pytest.mark.parametrize("version", [0, 1])
def test_writers_refuse_to_finish_with_other_numbers(version: int) -> None:
    header = small_header(version=version, model="encodec_24khz")
    writer = EcdcWriter(io.BytesIO(), header)
    writer.write(codes(8))
    writer.write(codes(4))

    with pytest.raises(ContainerError, match="0 samples"):
        writer.finish(0)
    with pytest.raises(ContainerError, match="2560 samples take 1 chunks, but there are 2"):
        writer.finish(2560)
    with pytest.raises(ContainerError, match="5000 samples take 16 frames, but there are 12"):
        writer.finish(5000)
    writer.finish(3840)
    with pytest.raises(ContainerError, match="is finished"):
        writer.finish(3840)
    with pytest.raises(ContainerError, match="is finished"):
        writer.write(codes(8))


def test_writers_hold_the_header_to_its_numbers() -> None:
    writer = EcdcWriter(io.BytesIO(), small_header(num_samples=2560, source_num_samples=100))
    writer.write(codes(8))

    with pytest.raises(ContainerError, match="header says 2560 samples, but there are 2559"):
        writer.finish(2559)
    with pytest.raises(ContainerError, match="header says 100 source samples, but there are 99"):
        writer.finish(2560, 99)
    writer.finish(2560)


@pytest.mark.parametrize("scale", [1e-60, 1e60])
def test_scales_that_do_not_fit_a_float32_are_refused(scale: float) -> None:
    writer = EcdcWriter(io.BytesIO(), small_header(has_scale=True))

    with pytest.raises(ContainerError, match="does not fit in 32 bits"):
        writer.write(replace(codes(8), scale=scale))


def test_paths_are_written_completely_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.ecdc"
    ecdc = make_ecdc(small_header(), 5000)
    write_ecdc(path, ecdc)

    assert path.read_bytes() == file_bytes(ecdc)
    assert_same_codes(read_ecdc(str(path)).codes, ecdc.codes)
    with pytest.raises(OutputError, match="exists already"):
        write_ecdc(path, ecdc)
    write_ecdc(path, ecdc, force=True)
    bad = replace(ecdc, codes=ecdc.codes + np.uint16(1024))
    with pytest.raises(ContainerError, match="does not fit in 10 bits"):
        write_ecdc(tmp_path / "b.ecdc", bad)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.ecdc"]


def test_errors_of_a_path_name_it(tmp_path: Path) -> None:
    path = tmp_path / "a.ecdc"
    path.write_bytes(b"RIFF\x00\x00\x00\x00WAVE")

    with pytest.raises(ContainerError, match=r"a\.ecdc: not an \.ecdc file but a WAV"):
        read_ecdc(path)


@pytest.mark.parametrize(
    ("ecdc", "message"),
    [
        (replace(make_ecdc(small_header(), 99), header=small_header()), "num_samples must be"),
        (
            replace(make_ecdc(small_header(), 99), header=small_header(num_samples=999)),
            r"999 samples take 4 frames, got codes \[2, 1\]",
        ),
        (
            replace(make_ecdc(segment_header(), 99), scales=np.ones(2, np.float32)),
            "1 chunks take 1 scales",
        ),
        (replace(make_ecdc(segment_header(), 99), scales=None), "has scale None"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(ecdc: Ecdc, message: str) -> None:
    with pytest.raises(ContainerError, match=message):
        write_ecdc(io.BytesIO(), ecdc)
