"""An `.ecdc` file gets no memory, disk or time that its bytes do not justify."""

import io
import random
import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ecdc_samples import file_bytes, make_ecdc, outline, read_all, small_header

from encodec_cli.container import EcdcReader, Header, checksum, verify
from encodec_cli.container.payload import payloads_for
from encodec_cli.container.records import KIND_END, KIND_RAW, end_payload
from encodec_cli.container.v1_records import V1Framing, build_header
from encodec_cli.container.wire import parse_varints, varint
from encodec_cli.errors import ContainerError
from encodec_cli.pipeline.output import resampled


def raw_payload_bytes(header: Header, frames: int) -> int:
    return payloads_for(header)[KIND_RAW].bounds(frames)[0]


def ending(header: Header, num_samples: int, sizes: list[int]) -> bytes:
    """End record and tail of chunks that take so many bytes."""
    framing = V1Framing(header, payloads_for(header))
    end = framing.record(KIND_END, 0, end_payload(num_samples, None, sizes), len(sizes))
    return end + framing.tail(len(end))


def heads(header: Header, count: int, seed: int) -> bytes:
    """A file of `count` starts of chunks, of all lengths, without their codes."""
    generator = random.Random(seed)
    data = bytearray(build_header(header))
    for _ in range(count):
        frames = generator.randint(1, header.chunk_frames)
        data += bytes([1]) + varint(frames) + varint(raw_payload_bytes(header, frames))
    return bytes(data)


@pytest.mark.slow
@pytest.mark.parametrize("count", [2_000, 40_000])
@pytest.mark.parametrize("changes", [{"codebooks": 1, "bits": 1}, {}, {"codebooks": 128}])
def test_the_search_for_an_intact_chunk_takes_few_products(
    count: int, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    header = small_header(chunk_frames=4096, **changes)
    data = heads(header, count, seed=count)
    products = 0
    multiply = checksum._multiply

    def counted(left: int, right: int) -> int:
        nonlocal products
        products += 1
        return multiply(left, right)

    checksum._inverse_power.cache_clear()
    monkeypatch.setattr(checksum, "_multiply", counted)
    problems = verify(io.BytesIO(data))

    assert "no intact chunk" in problems[0]
    assert products < 10 * 20_000 + len(data) / 4


@pytest.mark.parametrize("field", ["sample_rate", "source_sample_rate"])
@pytest.mark.parametrize("rate", [0, 1, 999, 768_001, 1 << 24, 1 << 62])
def test_rates_no_recording_has_are_refused(field: str, rate: int) -> None:
    with pytest.raises(ContainerError, match=rf"{field} must be an integer from 1000 to 768000"):
        small_header(**{field: rate})


@pytest.mark.parametrize("rate", [1000, 768_000])
def test_the_rates_that_the_option_takes_are_kept(rate: int) -> None:
    assert small_header(source_sample_rate=rate).source_sample_rate == rate


@pytest.mark.parametrize(
    "changes",
    [
        {"hop": 1 << 20, "chunk_frames": 17},
        {"hop": 4097, "chunk_frames": 4096},
        {"hop": 320, "chunk_frames": 4096, "channels": 13},
        {"segment": (1 << 24) + 320, "stride": 1 << 24, "hop": 1 << 19, "chunk_frames": 33},
    ],
)
def test_a_chunk_decodes_to_a_bounded_number_of_samples(changes: dict[str, Any]) -> None:
    with pytest.raises(ContainerError, match="decode to more than 16777216 samples at once"):
        small_header(**changes)


def missing(count: int, *, chunk_frames: int = 8) -> bytes:
    """An intact chunk, then the end mark of a recording of `count` chunks: all others missing."""
    header = small_header(chunk_frames=chunk_frames)
    full = chunk_frames * header.hop
    data = file_bytes(make_ecdc(header, full))
    start = len(build_header(replace(header, num_samples=full)))
    payload = raw_payload_bytes(header, chunk_frames)
    size = 5 + len(varint(chunk_frames) + varint(payload)) + payload
    end = ending(header, count * full, [size] * count)
    return build_header(header) + data[start : start + size] + end


@pytest.mark.parametrize("chunk_frames", [1, 8, 80, 4096])
@pytest.mark.parametrize("count", [2, 3, 20, 1000, 20_000, 65_000])
def test_silence_lasts_as_long_as_the_bytes_could_play_and_a_minute(
    count: int, chunk_frames: int
) -> None:
    data = missing(count, chunk_frames=chunk_frames)
    seconds = chunk_frames * 320 / 24_000
    room = 60 + seconds + len(data) / (2 * chunk_frames * 10 / 8) * seconds

    chunks, error = read_all(data)

    assert outline(chunks[:1]) == "o"
    assert len(chunks) * seconds <= room + seconds
    if count * seconds <= 60:
        assert error is None
        assert len(chunks) == count
    elif count * seconds > room + seconds:
        assert len(chunks) == 1
        assert error is not None


def test_half_of_a_file_may_be_missing() -> None:
    ecdc = make_ecdc(small_header(chunk_frames=80), 2000 * 80 * 320)
    data = file_bytes(ecdc)
    head = len(build_header(ecdc.header))
    cut = (len(data) - head) // 2

    chunks, error = read_all(data[:head] + data[head + cut :])

    assert error is None
    assert outline(chunks).count("x") > 900
    assert len(chunks) == 2000


def test_an_index_takes_little_more_memory_than_its_numbers() -> None:
    data = b"\x01" * 4_000_000
    tracemalloc.start()
    try:
        numbers = parse_varints(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert numbers is not None
    assert len(numbers) == len(data)
    assert peak < numbers.nbytes + len(data) + (8 << 20)


def test_an_index_larger_than_its_chunks_is_not_read() -> None:
    header = small_header()
    data = build_header(header) + b"\x00" * 100_000 + ending(header, 1, [1] * 100_000)

    assert EcdcReader(io.BytesIO(data)).index is None


def test_resampling_a_long_chunk_takes_no_more_memory_than_its_second() -> None:
    class Reader:
        header = small_header()
        play_rate = 24_000
        source_num_samples = None

    long = np.zeros((1, 60 * 24_000), np.float32)
    tracemalloc.start()
    try:
        seconds = sum(
            block.shape[1] / 768_000
            for block in resampled(iter([long]), Reader(), 768_000, 0, channels=1, exact=False)  # type: ignore[arg-type]
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert seconds == pytest.approx(60)
    assert peak < 40 << 20
