"""Format 2 under damage: everything is noticed, nothing intact is lost, nothing explodes."""

import io
import random
import tracemalloc
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from cases import mostly_slow
from ecdc_samples import (
    CODER,
    Pipe,
    RepeatCoder,
    assert_same_chunks,
    chunks_of,
    file_bytes,
    make_ecdc,
    outline,
    read_all,
    segment_header,
    streamed_bytes,
    v2_header,
)
from mutate_ecdc import SAMPLES, check_mutation

from encodec_cli.container import CodeChunk, DamagedChunk, EcdcReader, EcdcWriter, verify
from encodec_cli.container.checksum import seal
from encodec_cli.container.resync import RecordFinder
from encodec_cli.container.wire import varint
from encodec_cli.errors import ContainerError

ECDC = SAMPLES["v2"]
LENGTH = 4 * 2560 + 900
DATA = streamed_bytes(ECDC, 9999)
CHUNKS = chunks_of(ECDC)


def pieces(data: bytes = DATA) -> list[bytes]:
    """Header, each chunk record, and what follows."""
    index = EcdcReader(io.BytesIO(data)).index
    assert index is not None
    bounds = [0, *index.offsets.tolist(), len(data)]
    return [data[start:stop] for start, stop in pairwise(bounds)]


HEADER, *RECORDS, END = pieces()
KINDS = [record[0] & 3 for record in RECORDS]


def record(index: int, payload: bytes, kind: int = 1, frames: int | None = None) -> bytes:
    head = varint(len(payload) << 3 | (frames is not None) << 2 | kind)
    return seal(head + (b"" if frames is None else varint(frames)) + payload, index)


def end(index: int, *numbers: int) -> bytes:
    mark = record(index, b"".join(map(varint, numbers)), kind=0)
    return mark + len(mark).to_bytes(4, "big")


def read_pipe(data: bytes) -> tuple[list[CodeChunk | DamagedChunk], ContainerError | None]:
    """As `read_all`, where nothing but scanning helps."""
    got: list[CodeChunk | DamagedChunk] = []
    try:
        for chunk in EcdcReader(Pipe(data), coder=CODER):
            got.append(chunk)
    except ContainerError as error:
        return got, error
    return got, None


BOTH = pytest.mark.parametrize("read", [read_all, read_pipe], ids=["file", "pipe"])


def test_the_sample_has_chunks_of_both_kinds() -> None:
    assert KINDS == [2, 1, 2, 2, 2]


@pytest.mark.parametrize("known", mostly_slow([False, True]), ids=["piped", "known-length"])
def test_every_damaged_byte_is_noticed(known: bool) -> None:
    data = file_bytes(ECDC) if known else DATA
    assert verify(io.BytesIO(data), coder=CODER) == []

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
        reader = EcdcReader(file, coder=CODER)
        for chunk in CHUNKS[: int((starts[1:] <= length).sum())]:
            assert_same_chunks([next(reader)], [chunk])
        for _ in range(2):
            with pytest.raises(ContainerError, match="truncated"):
                next(reader)


@BOTH
@pytest.mark.parametrize("victim", range(len(RECORDS)))
def test_a_damaged_chunk_does_not_spoil_its_neighbours(victim: int, read: object) -> None:
    start = len(HEADER) + sum(map(len, RECORDS[:victim]))
    expected = "".join("x" if index == victim else "o" for index in range(len(RECORDS)))

    for position in range(start, start + len(RECORDS[victim])):
        damaged = bytearray(DATA)
        damaged[position] ^= 0x21
        got, error = read(bytes(damaged))  # type: ignore[operator]
        assert (outline(got), error) == (expected, None)
        assert_same_chunks(got, CHUNKS)
        where = f"chunk {victim} at {victim * 2560 / 24000:.2f} s (byte {start}): damaged"
        assert verify(io.BytesIO(damaged))[0].startswith(where)


@BOTH
@pytest.mark.parametrize("victim", range(len(RECORDS)))
@pytest.mark.parametrize("change", [-5, -1, 1, 7, 300])
def test_bytes_lost_or_added_inside_a_chunk_spoil_only_that_chunk(
    victim: int, change: int, read: object
) -> None:
    whole = RECORDS[victim]
    middle = whole[: 9 + min(change, 0)] + b"\x01" * max(change, 0) + whole[9:]
    data = b"".join([HEADER, *RECORDS[:victim], middle, *RECORDS[victim + 1 :], END])

    got, error = read(data)  # type: ignore[operator]

    assert error is None
    assert outline(got) == "o" * victim + "x" + "o" * (len(RECORDS) - victim - 1)
    assert_same_chunks(got, CHUNKS)


@BOTH
@pytest.mark.parametrize("filler", [b"\x00", b"\x01", b"\xff", b"\x22"])
def test_a_hole_over_several_chunks_costs_those_chunks(filler: bytes, read: object) -> None:
    start, stop = len(HEADER) + 10, len(HEADER) + sum(map(len, RECORDS[:2])) + 10
    data = DATA[:start] + filler * (stop - start) + DATA[stop:]

    got, error = read(data)  # type: ignore[operator]

    assert (outline(got), error) == ("xxxoo", None)
    assert_same_chunks(got, CHUNKS)


@BOTH
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
def test_chunks_out_of_place_are_noticed(order: list[int], expected: str, read: object) -> None:
    data = b"".join([HEADER, *(RECORDS[index] for index in order), END])

    got, error = read(data)  # type: ignore[operator]

    assert outline(got) == expected
    assert error is None
    assert_same_chunks(got, CHUNKS)
    assert "chunk" in verify(io.BytesIO(data))[0]


def test_a_long_hole_is_crossed_by_the_index_without_a_scan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ecdc = make_ecdc(v2_header(), 1000 * 2560)
    data = bytearray(streamed_bytes(ecdc))
    index = EcdcReader(io.BytesIO(data)).index
    assert index is not None
    data[index.offsets[100] + 3 : index.offsets[900]] = bytes(
        int(index.offsets[900] - index.offsets[100]) - 3
    )
    monkeypatch.delattr(RecordFinder, "_scan")

    got, error = read_all(bytes(data))

    assert error is None
    assert outline(got) == "o" * 100 + "x" * 800 + "o" * 100
    assert_same_chunks(got, chunks_of(ecdc))


def test_what_was_moved_is_found_by_the_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(RecordFinder, "_scan")
    broken = bytearray(RECORDS[2])
    broken[1:5] = b"\xff" * 4
    data = b"".join([HEADER, b"junk", *RECORDS[:2], bytes(broken), *RECORDS[3:], END])
    source = io.BytesIO(data)
    reader = EcdcReader(source, coder=CODER)

    assert reader.index is None  # its places are wrong, and the reader does not go by them
    monkeypatch.undo()
    got, error = read_all(data)
    assert (outline(got), error) == ("ooxoo", None)


@pytest.mark.slow
def test_each_of_many_damaged_chunks_of_a_pipe_costs_itself() -> None:
    ecdc = make_ecdc(v2_header(codebooks=8, chunk_frames=80), 400 * 25_600)
    data = bytearray(streamed_bytes(ecdc))
    index = EcdcReader(io.BytesIO(data)).index
    assert index is not None
    for chunk in range(0, 400, 2):
        data[index.offsets[chunk]] ^= 0x55  # the head

    got, error = read_pipe(bytes(data))

    assert error is None
    assert outline(got) == "xo" * 200
    assert_same_chunks(got, chunks_of(ecdc))


def test_a_damaged_segment_keeps_the_rest_in_place() -> None:
    header = segment_header(version=2, code_model=CODER.sha256[:16])
    ecdc = make_ecdc(header, 4 * 47_520 + 100)
    parts = pieces(streamed_bytes(ecdc))
    for victim in range(5):
        damaged = list(parts)
        damaged[victim + 1] = bytes(len(parts[victim + 1]))
        got, error = read_all(b"".join(damaged))
        assert error is None
        assert outline(got) == "".join("x" if i == victim else "o" for i in range(5))


def test_problems_come_with_the_chunks_they_are_about() -> None:
    """Also where many chunks are read ahead."""
    ecdc = make_ecdc(v2_header(), 60 * 2560)
    data = bytearray(streamed_bytes(ecdc))
    index = EcdcReader(io.BytesIO(data)).index
    assert index is not None
    for chunk in (20, 30, 50):
        data[index.offsets[chunk] + 3] ^= 1
    reader = EcdcReader(io.BytesIO(data), coder=CODER)
    for number, chunk in enumerate(reader):
        assert isinstance(chunk, DamagedChunk) == (number in (20, 30, 50))
        if isinstance(chunk, DamagedChunk):
            assert reader.problems[-1].startswith(f"chunk {number} ")
        assert len(reader.problems) == sum(number >= victim for victim in (20, 30, 50))


def test_bytes_after_the_end_are_refused() -> None:
    got, error = read_all(DATA + b"abc")

    assert outline(got) == "ooooo"
    assert "3 bytes follow the end mark" in str(error)


def test_intact_chunks_of_the_reserved_kind_are_newer_not_damaged() -> None:
    got, error = read_all(HEADER + RECORDS[0] + record(1, b"something", kind=3) + END)

    assert outline(got) == "o"
    assert "is of type 3: the file was made by a newer version" in str(error)


def test_coded_chunks_without_a_code_model_are_damaged() -> None:
    header, *_ = pieces(streamed_bytes(make_ecdc(v2_header(coded=False, codebooks=4), 2560)))
    data = header + record(0, b"\xa0" * 9, kind=2) + end(1, 2560, 0, 1, 14)

    assert outline(read_all(data)[0]) == "x"
    assert "is entropy-coded, but the header names no code model" in verify(io.BytesIO(data))[0]


SIZES = [len(part) for part in RECORDS]
FULL = b"\xa0" + bytes(40)


@pytest.mark.parametrize(
    ("chunk", "what"),
    [
        (record(0, FULL, frames=8), "a full chunk that says it is short"),
        (record(0, FULL, frames=0), "no frames"),
        (record(0, FULL[:-1]), "raw codes of another size"),
        (record(0, FULL, kind=2), "a run as large as raw codes"),
        (record(0, b"", kind=2), "no run"),
        (record(0, FULL[:1], kind=2), "a scale without a run"),
        (record(0, FULL[:9], kind=2, frames=9), "more frames than a chunk has"),
        (record(0, b"\x01\x02\x03\x04", kind=0, frames=1), "an end record with frames"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_chunk_has_one_spelling(chunk: bytes, what: str) -> None:
    data = b"".join([HEADER, chunk, *RECORDS[1:], END])

    assert outline(read_all(data)[0]) == "xoooo", what


def test_fill_bits_are_zero() -> None:
    ecdc = make_ecdc(v2_header(coded=False), 2560 + 640)
    header, *records, tail = pieces(streamed_bytes(ecdc))
    payload = bytearray(records[1][2:-4])
    payload[-1] |= 0x80
    data = b"".join([header, records[0], record(1, bytes(payload), frames=2), tail])

    assert outline(read_all(data)[0]) == "ox"
    assert "fill bits are not zero" in verify(io.BytesIO(data))[0]


@pytest.mark.parametrize(
    ("tail", "message"),
    [
        (end(5, LENGTH + 2560, 0, 5, *SIZES), "13700 samples take 6 chunks, but there are 5"),
        (end(5, LENGTH + 640, 0, 5, *SIZES), "samples take 37 frames, but there are 35"),
        (end(5, LENGTH, 0, 5, *SIZES[:4], 99), "the index says chunk 4 takes 99 bytes"),
        (end(5, 0, 0, 5, *SIZES), "no end mark follow"),
        (end(5, LENGTH, 0, 6, *SIZES), "no end mark follow"),
        (end(5, LENGTH, 0, 5, *SIZES, 1), "no end mark follow"),
        (end(5, 1 << 55, 0, 5, *SIZES), "no end mark follow"),
        (end(5, LENGTH, 0, 5, *SIZES)[:-1] + b"X", "end mark damaged"),
    ],
    ids=["chunks", "frames", "index", "zero", "count", "extra", "huge", "tail"],
)
def test_end_marks_that_contradict_the_chunks_are_refused(tail: bytes, message: str) -> None:
    got, error = read_all(b"".join([HEADER, *RECORDS, tail]))

    assert outline(got) == "ooooo"
    assert message in str(error)


def test_a_short_chunk_amid_others_is_refused() -> None:
    short = record(0, b"\xa0" + bytes(20), frames=4)

    got, error = read_all(HEADER + short + b"".join(RECORDS[1:]) + END)

    assert outline(got) == "o"
    assert "chunk 0 has fewer than 8 frames but is not at the end" in str(error)


@pytest.mark.parametrize("name", SAMPLES)
def test_random_edits_are_noticed_and_give_no_wrong_codes(name: str) -> None:
    generator, data = random.Random(2), streamed_bytes(SAMPLES[name], 9999)

    for _ in range(80):
        check_mutation(name, data, generator)


@pytest.mark.slow
def test_many_random_edits_are_noticed_and_give_no_wrong_codes() -> None:
    generator = random.Random(3)
    files = {name: streamed_bytes(ecdc, 9999) for name, ecdc in SAMPLES.items()}
    for _ in range(10_000):
        name = generator.choice(list(files))
        check_mutation(name, files[name], generator)


def test_random_bytes_behind_a_good_header_raise_nothing_else() -> None:
    generator = random.Random(5)

    for _ in range(300):
        body = bytes(generator.choices((0, 1, 2, 8, 18, 22, 255, 128), k=generator.randint(0, 400)))
        assert verify(io.BytesIO(HEADER + body), coder=CODER)


BOMBS = {
    "end-mark-length": HEADER + b"\xf8\xff\xff\xff\xff\x7f" + bytes(50),
    "unknown-kind-length": HEADER + b"\xfb\xff\xff\x7f" + bytes(50),
    "overlong-varint": HEADER + b"\xff" * 60,
    "index-length": HEADER + b"\xff\xff\xff\xff",
    "index-length-fits": HEADER + bytes(60_000) + (60_000).to_bytes(4, "big"),
    "far-chunk": HEADER + record(1 << 31, FULL) + END,
    "gaps": HEADER + b"".join(record(n * 60_000, FULL) for n in range(1, 200)),
    "zeros": HEADER + bytes(1_000_000),
    "header-length": b"ECDC\x02\xff\xff\x03" + bytes(100),
    "tags": seal(b"ECDC\x02\x08\x40\x03\x08\x50\xff\xff\xff\x7f", 0),
    "many-heads": HEADER + b"\x12" * 20_000,
    "many-short-heads": HEADER + b"\x16\x03" * 10_000,
    "many-ends": HEADER + b"\x20" * 20_000,
}


@pytest.mark.parametrize("name", mostly_slow(BOMBS, 10))
def test_hostile_lengths_cost_little(name: str) -> None:
    data = BOMBS[name]
    tracemalloc.start()
    problems = verify(io.BytesIO(data), coder=CODER)
    index = EcdcReader(io.BytesIO(data)).index if data.startswith(HEADER) else None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert problems
    assert len(problems) < 1010
    assert index is None or index.chunks < 100
    assert peak < 64 << 20


def test_a_byte_asks_for_no_more_than_512_codes() -> None:
    header = v2_header(codebooks=128, chunk_frames=4096, sample_rate=24_000, hop=1)
    silent = replace(make_ecdc(header, 4096, repeated=1.0))
    silent.codes[:] = 0
    coder = RepeatCoder(codebooks=128)
    file = io.BytesIO()
    writer = EcdcWriter(file, replace(header, num_samples=4096), coder=coder)
    for chunk in chunks_of(silent):
        writer.write(chunk)
    writer.finish(4096)
    head, chunk_record, _ = pieces(file.getvalue())

    assert len(chunk_record) >= 128 * 4096 // 512
    reader = EcdcReader(io.BytesIO(file.getvalue()), coder=coder)
    assert_same_chunks(reader, chunks_of(silent))
    shorter = record(0, bytes(1023), kind=2)
    assert len(chunk_record) > len(shorter)
    assert "damaged" in verify(io.BytesIO(head + shorter), coder=coder)[0]


def test_reading_takes_constant_memory() -> None:
    header = v2_header(coded=False, chunk_frames=80)
    data = streamed_bytes(make_ecdc(header, 80 * 320 * 2000))
    tracemalloc.start()
    for chunk in EcdcReader(io.BytesIO(data)):
        assert chunk.frames == 80
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < len(data) // 2


def test_a_recording_cut_off_by_a_crash_keeps_its_chunks() -> None:
    file = io.BytesIO()
    writer = EcdcWriter(file, ECDC.header, coder=CODER)
    for chunk in CHUNKS[:3]:
        writer.write(chunk)

    got, error = read_all(file.getvalue())

    assert_same_chunks(got, CHUNKS[:3])
    assert "truncated: the file ends at chunk 3 at 0.32 s" in str(error)
