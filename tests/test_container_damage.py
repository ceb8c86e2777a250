"""Format 1 under damage: everything is noticed, nothing intact is lost, nothing explodes."""

import io
import random
import struct
import tracemalloc
import zlib
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from ecdc_samples import (
    Pipe,
    assert_same_chunks,
    chunks_of,
    file_bytes,
    make_ecdc,
    outline,
    read_all,
    segment_header,
    small_header,
    streamed_bytes,
    varied,
)

from encodec_cli.container import DamagedChunk, EcdcReader, EcdcWriter, read_ecdc, verify
from encodec_cli.container.wire import varint
from encodec_cli.errors import ContainerError

SAMPLES = 4 * 2560 + 900
ECDC = make_ecdc(small_header(), SAMPLES)
DATA = streamed_bytes(ECDC, 9999)
CHUNKS = chunks_of(ECDC)


def record(index: int, payload: bytes, kind: int = 1, frames: int = 8) -> bytes:
    body = bytes([kind]) + varint(frames) + varint(len(payload)) + payload
    return body + struct.pack(">I", zlib.crc32(body, index))


def end(index: int, *numbers: int) -> bytes:
    mark = record(index, b"".join(map(varint, numbers)), kind=0, frames=0)
    return mark + struct.pack(">I", len(mark)) + b"CEND"


def pieces(data: bytes = DATA) -> list[bytes]:
    """Header, each chunk record, and what follows."""
    index = EcdcReader(io.BytesIO(data)).index
    assert index is not None
    bounds = [0, *index.offsets.tolist(), len(data)]
    return [data[start:stop] for start, stop in pairwise(bounds)]


HEADER, *RECORDS, END = pieces()


@pytest.mark.slow
@pytest.mark.parametrize("known", [False, True], ids=["piped", "known-length"])
def test_every_damaged_byte_is_noticed(known: bool) -> None:
    data = file_bytes(ECDC) if known else DATA
    assert verify(io.BytesIO(data)) == []

    for position in range(len(data)):
        for flip in (0x01, 0x10, 0x80, 0xFF, data[position] or 0x5A):
            damaged = bytearray(data)
            damaged[position] ^= flip
            problems = verify(io.BytesIO(damaged))
            assert problems, f"byte {position} ^ {flip:#x} went unnoticed"
            assert all("\n" not in problem for problem in problems)


@pytest.mark.parametrize("pipe", [False, True], ids=["file", "pipe"])
def test_every_truncation_is_noticed_and_leaves_the_chunks_before(pipe: bool) -> None:
    starts = np.cumsum([len(HEADER), *map(len, RECORDS)])

    for length in range(len(DATA)):
        file = Pipe(DATA[:length]) if pipe else io.BytesIO(DATA[:length])
        if length < len(HEADER):
            with pytest.raises(ContainerError, match=r"empty|truncated"):
                EcdcReader(file)
            continue
        reader = EcdcReader(file)
        for chunk in CHUNKS[: int((starts[1:] <= length).sum())]:
            assert_same_chunks([next(reader)], [chunk])
        with pytest.raises(ContainerError, match="truncated"):
            next(reader)
        with pytest.raises(ContainerError, match="truncated"):
            next(reader)


@pytest.mark.parametrize("victim", range(len(RECORDS)))
def test_a_damaged_chunk_does_not_spoil_its_neighbours(victim: int) -> None:
    start = len(HEADER) + sum(map(len, RECORDS[:victim]))
    expected = "".join("x" if index == victim else "o" for index in range(len(RECORDS)))

    for position in range(start, start + len(RECORDS[victim])):
        damaged = bytearray(DATA)
        damaged[position] ^= 0x21
        got, error = read_all(bytes(damaged))
        assert (outline(got), error) == (expected, None)
        assert_same_chunks(got, CHUNKS)
        where = f"chunk {victim} at {victim * 2560 / 24000:.2f} s (byte {start}): damaged"
        assert verify(io.BytesIO(damaged))[0].startswith(where)


@pytest.mark.parametrize("victim", range(len(RECORDS)))
@pytest.mark.parametrize("change", [-5, -1, 1, 7, 300])
def test_bytes_lost_or_added_inside_a_chunk_spoil_only_that_chunk(victim: int, change: int) -> None:
    whole = RECORDS[victim]
    middle = whole[: 9 + min(change, 0)] + b"\x01" * max(change, 0) + whole[9:]
    data = b"".join([HEADER, *RECORDS[:victim], middle, *RECORDS[victim + 1 :], END])

    got, error = read_all(data)

    assert error is None
    assert outline(got) == "o" * victim + "x" + "o" * (len(RECORDS) - victim - 1)
    assert_same_chunks(got, CHUNKS)


@pytest.mark.parametrize("filler", [b"\x00", b"\x01", b"\xff"])
def test_a_hole_over_several_chunks_costs_those_chunks(filler: bytes) -> None:
    start, stop = len(HEADER) + 10, len(HEADER) + sum(map(len, RECORDS[:2])) + 10
    data = DATA[:start] + filler * (stop - start) + DATA[stop:]

    got, error = read_all(data)

    assert (outline(got), error) == ("xxxoo", None)
    assert_same_chunks(got, CHUNKS)


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ([0, 1, 3, 4], "ooxoo"),
        ([3, 4], "xxxoo"),
        ([0, 1, 2, 3], "oooox"),
        ([0, 1, 1, 2, 3, 4], "ooooo"),
        ([0, 2, 1, 3, 4], "oxooo"),
        ([], "xxxxx"),
    ],
    ids=["dropped", "first-dropped", "last-dropped", "repeated", "swapped", "all-dropped"],
)
def test_chunks_out_of_place_are_noticed(order: list[int], expected: str) -> None:
    data = b"".join([HEADER, *(RECORDS[index] for index in order), END])

    got, error = read_all(data)

    assert outline(got) == expected
    assert error is None
    assert_same_chunks(got, CHUNKS)
    assert "chunk" in verify(io.BytesIO(data))[0]


def test_a_damaged_segment_keeps_the_rest_in_place() -> None:
    header = segment_header()
    ecdc = make_ecdc(header, 4 * 47_520 + 100)
    parts = pieces(streamed_bytes(ecdc))
    for victim in range(5):
        damaged = list(parts)
        damaged[victim + 1] = bytes(len(parts[victim + 1]))
        got, error = read_all(b"".join(damaged))
        assert error is None
        assert outline(got) == "".join("x" if i == victim else "o" for i in range(5))


def test_a_damaged_chunk_says_how_long_it_was() -> None:
    for victim in (1, len(RECORDS) - 1):
        data = b"".join([HEADER, *RECORDS[:victim], *RECORDS[victim + 1 :], END])
        lost = read_all(data)[0][victim]
        assert lost == DamagedChunk(victim, CHUNKS[victim].frames, "missing from the file")


def test_bytes_after_the_end_are_refused() -> None:
    got, error = read_all(DATA + b"abc")

    assert outline(got) == "ooooo"
    assert "3 bytes follow the end mark" in str(error)


def test_an_endless_tail_is_not_read_to_its_end() -> None:
    reader = EcdcReader(Pipe(DATA + bytes(3 << 20)))

    with pytest.raises(ContainerError, match="1048576 or more bytes follow the end mark"):
        list(reader)


def test_damage_stops_whole_file_reading() -> None:
    damaged = bytearray(DATA)
    damaged[len(HEADER) + 9] ^= 1

    with pytest.raises(ContainerError, match=r"chunk 0 at 0\.00 s .*: damaged"):
        read_ecdc(io.BytesIO(damaged))


def test_intact_chunks_of_unknown_type_are_newer_not_damaged() -> None:
    data = HEADER + RECORDS[0] + record(1, b"entropy", kind=2) + END

    got, error = read_all(data)

    assert outline(got) == "o"
    assert "chunk 1 " in str(error)
    assert "is of type 2: the file was made by a newer version" in str(error)


def test_chunks_that_are_intact_but_break_the_rules_are_damaged() -> None:
    fill = bytearray(RECORDS[-1][3:-4])
    fill[-1] |= 0x80
    frames = CHUNKS[-1].frames
    assert frames * 10 % 8
    data = b"".join([HEADER, *RECORDS[:-1], record(4, bytes(fill), frames=frames), END])

    assert outline(read_all(data)[0]) == "oooox"
    assert "fill bits are not zero" in verify(io.BytesIO(data))[0]


def test_scales_that_are_no_numbers_are_damage() -> None:
    ecdc = make_ecdc(small_header(has_scale=True), 2560)
    header, chunk, tail = pieces(streamed_bytes(ecdc))
    payload = struct.pack(">f", float("inf")) + chunk[7:-4]

    assert "scale inf is not" in verify(io.BytesIO(header + record(0, payload) + tail))[0]


SIZES = [len(part) for part in RECORDS]


@pytest.mark.parametrize(
    ("tail", "message"),
    [
        (end(5, SAMPLES + 2560, 0, 5, *SIZES), "13700 samples take 6 chunks, but there are 5"),
        (end(5, SAMPLES + 640, 0, 5, *SIZES), "samples take 37 frames, but there are 35"),
        (end(5, SAMPLES, 0, 5, *SIZES[:4], 99), "the index says chunk 4 takes 99 bytes"),
        (end(5, 0, 0, 5, *SIZES), "no end mark follow"),
        (end(5, SAMPLES, 0, 6, *SIZES), "no end mark follow"),
        (end(5, SAMPLES, 0, 5, *SIZES, 1), "no end mark follow"),
        (end(5, 1 << 55, 0, 5, *SIZES), "no end mark follow"),
        (end(5, SAMPLES, 0, 5, *SIZES)[:-1] + b"X", "end mark damaged"),
    ],
    ids=["chunks", "frames", "index", "zero", "count", "extra", "huge", "magic"],
)
def test_end_marks_that_contradict_the_chunks_are_refused(tail: bytes, message: str) -> None:
    got, error = read_all(b"".join([HEADER, *RECORDS, tail]))

    assert outline(got) == "ooooo"
    assert message in str(error)


def test_header_and_end_mark_must_agree() -> None:
    header = pieces(file_bytes(make_ecdc(small_header(), SAMPLES - 1)))[0]

    error = read_all(b"".join([header, *RECORDS, END]))[1]

    assert "header and end mark disagree" in str(error)


def test_a_short_chunk_amid_others_is_refused() -> None:
    short = record(0, bytes(10), frames=4)

    got, error = read_all(HEADER + short + b"".join(RECORDS[1:]) + END)

    assert outline(got) == "o"
    assert "chunk 0 has fewer than 8 frames but is not at the end" in str(error)


@pytest.mark.slow
@pytest.mark.parametrize("version", [0, 1])
def test_random_edits_raise_nothing_but_container_errors(version: int) -> None:
    generator = random.Random(version)
    data = DATA
    if version == 0:
        data = file_bytes(make_ecdc(segment_header(version=0), 100_000))
    for _ in range(1500):
        edited = varied(data, generator)
        by_pipe, by_file = verify(Pipe(edited)), verify(io.BytesIO(edited))
        assert bool(by_pipe) == bool(by_file)
        if version == 1 and edited != data:
            assert by_file


def test_random_bytes_behind_a_good_header_raise_nothing_else() -> None:
    generator = random.Random(5)

    for _ in range(300):
        body = bytes(generator.choices((0, 1, 8, 20, 255, 128), k=generator.randint(0, 400)))
        assert verify(io.BytesIO(HEADER + body))


BOMBS = {
    "end-mark-length": HEADER + b"\x00\x00\xff\xff\xff\xff\xff\xff\x7f" + bytes(50),
    "unknown-type-length": HEADER + b"\x09\x01\xff\xff\x7f" + bytes(50),
    "overlong-varint": HEADER + b"\x01" + b"\xff" * 60,
    "index-length": HEADER + b"\xff\xff\xff\xffCEND",
    "index-length-fits": HEADER + bytes(60_000) + struct.pack(">I", 60_000) + b"CEND",
    "far-chunk": HEADER + record(1 << 31, bytes(20)) + END,
    "gaps": HEADER + b"".join(record(n * 60_000, bytes(20)) for n in range(1, 200)),
    "many-heads": HEADER + b"\x00\x00\xff\xff\x13" * 40_000,
    "many-short-heads": HEADER + b"\x01\x01\x04" * 6_000,
    "zeros": HEADER + bytes(1_000_000),
    "header-length": b"ECDC\x01\xff\xff\xff\xff" + bytes(100),
    "header-length-fits": b"ECDC\x01\x00\x00\xff\xff" + bytes(100),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_hostile_lengths_cost_little(name: str) -> None:
    data = BOMBS[name]
    tracemalloc.start()
    problems = verify(io.BytesIO(data))
    index = EcdcReader(io.BytesIO(data)).index if data.startswith(HEADER) else None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert problems
    assert len(problems) < 1010
    assert index is None or index.chunks < 100
    assert peak < 64 << 20


def test_reading_takes_constant_memory() -> None:
    header = replace(small_header(), chunk_frames=80)
    ecdc = make_ecdc(header, 80 * 320 * 2000)
    data = streamed_bytes(ecdc)
    tracemalloc.start()
    for chunk in EcdcReader(io.BytesIO(data)):
        assert chunk.frames == 80
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < len(data) // 2


def test_a_recording_cut_off_by_a_crash_keeps_its_chunks() -> None:
    file = io.BytesIO()
    writer = EcdcWriter(file, small_header())
    for chunk in CHUNKS[:3]:
        writer.write(chunk)

    got, error = read_all(file.getvalue())

    assert_same_chunks(got, CHUNKS[:3])
    assert "truncated: the file ends at chunk 3 at 0.32 s" in str(error)
