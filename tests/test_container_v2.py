"""Format 2: exact bytes, round trips, size, what is held back and what is read ahead."""

import io
import os
import random
from dataclasses import replace
from decimal import Decimal, getcontext
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from cases import mostly_slow
from ecdc_samples import (
    CODER,
    Pipe,
    RepeatCoder,
    assert_same_chunks,
    assert_same_codes,
    chunks_of,
    file_bytes,
    make_ecdc,
    segment_header,
    streamed_bytes,
    v2_header,
)

from encodec_cli.container import (
    CodeChunk,
    DamagedChunk,
    Ecdc,
    EcdcReader,
    EcdcWriter,
    Header,
    read_ecdc,
    verify,
)
from encodec_cli.container.checksum import seal
from encodec_cli.container.gain import ByteGain, nearest_scale
from encodec_cli.container.header import v0_header
from encodec_cli.container.known_models import KNOWN_MODELS
from encodec_cli.container.v2_header import build_header
from encodec_cli.container.wire import varint
from encodec_cli.errors import ContainerError

# If this test fails, files in the world become unreadable: changing the bytes means a new format
# version, not a new constant here.
GOLDEN = bytes.fromhex(
    "45434443 02 23"  # 'ECDC', version 2, 35 bytes
    "07"  # scales, hash of the weights, hash of a code model
    "00 04 74696e79 c0bb01 01 c002 0a 00 00 00"  # tiny, 24000 Hz, mono, hop 320, 10 bits, whole
    "0123456789abcdef c0dec0dec0dec0de 02 08 a2f515b1"  # hashes, 2 codebooks, 8 frames, CRC
    "22 a0 0b1820 8568c50c"  # coded, 4 bytes: 0 dB, a run
    "3d 02 94 010800 07fc0f a17b4ffb"  # raw, short, 7 bytes: 2 frames, -6 dB, two codebooks
    "38 b817 882b 02 090d 263463ce"  # end, 7 bytes: 3000 and 5512 samples, 2 chunks of 9 and 13
    "0000000c"  # bytes of the end record
)


def golden_ecdc() -> Ecdc:
    codes = np.array([[5] * 8 + [1, 2], [513] * 8 + [7, 1023]], np.uint16)
    header = v2_header(model_sha256="0123456789abcdef" * 4, has_scale=True, num_samples=3000)
    return Ecdc(header, codes, np.array([1.0, nearest_scale(0.5)], np.float32))


def test_golden_bytes() -> None:
    assert streamed_bytes(golden_ecdc(), 5512).hex() == GOLDEN.hex()
    read = read_ecdc(io.BytesIO(GOLDEN), coder=CODER)
    assert_same_codes(read.codes, golden_ecdc().codes)
    assert read.scales is not None
    assert read.scales.tolist() == [1.0, nearest_scale(0.5)]
    assert (read.header.num_samples, read.header.source_num_samples) == (3000, 5512)


HEADERS = {
    "raw": v2_header(coded=False),
    "coded": v2_header(),
    "scales": v2_header(has_scale=True, codebooks=8),
    "one-bit": v2_header(coded=False, bits=1, codebooks=1, chunk_frames=3),
    "sixteen-bits": v2_header(coded=False, bits=16, has_scale=True, chunk_frames=4096, codebooks=1),
    "segments": segment_header(version=2, code_model=CODER.sha256[:16]),
}


@pytest.mark.parametrize("dribble", [False, True], ids=["blocks", "bytewise"])
@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("samples", [1, 2560, 2561, 47_521, 95_140, 142_560])
def test_reading_gives_back_what_was_written(name: str, samples: int, dribble: bool) -> None:
    ecdc = make_ecdc(HEADERS[name], samples)
    reader = EcdcReader(Pipe(streamed_bytes(ecdc, 77), dribble=dribble), coder=CODER)

    assert reader.header == replace(ecdc.header, num_samples=None)
    assert reader.num_samples is None
    assert_same_chunks(reader, chunks_of(ecdc))
    assert (reader.num_samples, reader.source_num_samples) == (samples, 77)
    assert reader.problems == []
    again = read_ecdc(io.BytesIO(file_bytes(ecdc)), coder=CODER)
    assert again.header == ecdc.header
    assert_same_codes(again.codes, ecdc.codes)


def random_header(generator: random.Random) -> Header:
    """Any header that the format allows."""
    name, known = generator.choice([*KNOWN_MODELS, ("einzig", None)])
    geometry: dict[str, Any] = {
        "sample_rate": generator.choice([1000, 16_000, 24_000, 44_100, 768_000]),
        "channels": generator.randint(1, 3),
        "hop": generator.choice([1, 12, 320, 1000]),
        "bits": generator.randint(1, 16),
        "end_padding": generator.choice([0, 1, 320, 100_000]),
    }
    if known is not None and generator.random() < 0.7:
        keys = ("sample_rate", "channels", "hop", "bits", "segment", "stride", "end_padding")
        geometry = {key: getattr(known, key) for key in keys}
    frames = generator.choice([1, 2, 7, 8, 30])
    if geometry.get("segment"):
        frames = known.chunk_frames if known else frames
    elif generator.random() < 0.2:
        stride = generator.randint(2, 200)
        geometry |= {"segment": stride + stride // 3, "stride": stride, "end_padding": 0}
        frames = -(-geometry["segment"] // geometry["hop"])
    sha256 = "".join(generator.choices("0123456789abcdef", k=16))

    def maybe(value: Any) -> Any:
        return generator.choice([None, value])

    return Header(
        model=name,
        model_sha256=maybe(sha256),
        codebooks=generator.choice([1, 2, 8, 33]),
        chunk_frames=frames,
        has_scale=generator.random() < 0.5,
        code_model=CODER.sha256[:16]
        if geometry["bits"] >= 10 and generator.random() < 0.7
        else None,
        source_sample_rate=maybe(44_100),
        source_channels=maybe(2),
        source_num_samples=maybe(generator.randint(1, 1 << 48)),
        tags=generator.choice([{}, {"title": "Ünïcode", "": "x" * 300}]),
        **geometry,
    )


@pytest.mark.parametrize("start", mostly_slow(range(0, 60, 5)))
def test_any_header_and_any_chunks_come_back(start: int) -> None:
    generator = random.Random(start)
    coder = RepeatCoder(codebooks=128)
    for seed in range(start, start + 5):
        header = random_header(generator)
        frames = min(4 * header.chunk_frames, 1000 // header.codebooks)
        longest = min(max(2, frames) * header.hop, 10 * (header.stride or 1 << 30))
        samples = generator.randint(1, longest)
        ecdc = make_ecdc(header, samples, seed=seed, repeated=generator.choice([0.0, 0.8, 1.0]))
        if header.code_model:  # ten bits each, whatever the header allows
            ecdc = replace(ecdc, codes=ecdc.codes & np.uint16(1023))
        file = io.BytesIO()
        writer = EcdcWriter(file, ecdc.header, coder=coder, live=generator.random() < 0.5)
        for chunk in chunks_of(ecdc):
            writer.write(chunk)
        writer.finish(samples)
        reader = EcdcReader(io.BytesIO(file.getvalue()), coder=coder)

        assert reader.header == ecdc.header
        assert_same_chunks(reader, chunks_of(ecdc))
        assert verify(io.BytesIO(file.getvalue()), coder=coder) == []
        if reader.index is not None and reader.index.chunks > 1:
            reader.seek(1)
            assert_same_chunks(reader, chunks_of(ecdc)[1:])


def test_all_header_fields_survive() -> None:
    header = v2_header(
        model="модель 1",
        model_sha256="0123456789abcdef" * 4,
        source_sample_rate=44100,
        source_channels=2,
        num_samples=5000,
        source_num_samples=9187,
        tags={"title": "Ünïcode", "artist": ""},
    )
    data = file_bytes(make_ecdc(header, 5000))

    assert EcdcReader(Pipe(data)).header == replace(header, model_sha256="0123456789abcdef")
    assert EcdcReader(Pipe(data)).num_samples == 5000
    assert verify(io.BytesIO(data), coder=CODER) == []


def ecli_header(**changes: Any) -> Header:
    """As `encode` writes it for the bundled model."""
    name, known = KNOWN_MODELS[2]
    base: dict[str, Any] = {
        "model": name,
        "model_sha256": "f" * 64,
        "code_model": CODER.sha256,
        "sample_rate": known.sample_rate,
        "channels": known.channels,
        "hop": known.hop,
        "bits": known.bits,
        "chunk_frames": known.chunk_frames,
        "end_padding": known.end_padding,
        "has_scale": known.has_scale,
        "codebooks": 8,
        "source_sample_rate": 44_100,
        "source_channels": 2,
    }
    return Header(**(base | changes))


def test_a_header_of_the_bundled_model_takes_34_bytes() -> None:
    assert len(build_header(ecli_header())) == 34


@pytest.mark.parametrize(("name", "known"), KNOWN_MODELS, ids=[name for name, _ in KNOWN_MODELS])
def test_models_of_a_number_have_the_geometry_that_format_0_gives_them(
    name: str, known: Any
) -> None:
    header = build_header(
        Header(
            model=name,
            sample_rate=known.sample_rate,
            channels=known.channels,
            hop=known.hop,
            bits=known.bits,
            segment=known.segment,
            stride=known.stride,
            end_padding=known.end_padding,
            chunk_frames=known.chunk_frames,
            codebooks=1,
        )
    )
    assert len(header) <= 15
    assert name.encode() not in header
    if name.startswith("encodec"):
        assert v0_header(name, codebooks=1).hop == known.hop


def test_a_known_name_with_another_geometry_is_spelt_out() -> None:
    header = ecli_header(hop=160, tags={})
    data = build_header(header)

    assert b"ecli_24khz" in data
    assert EcdcReader(io.BytesIO(data)).header.hop == 160


def test_numbers_of_models_are_never_given_anew() -> None:
    assert [name for name, _ in KNOWN_MODELS[:3]] == [
        "encodec_24khz",
        "encodec_48khz",
        "ecli_24khz",
    ]


def sizes(data: bytes, coder: RepeatCoder | None = CODER) -> list[int]:
    """Bytes of each record, then of the end record and the tail."""
    index = EcdcReader(io.BytesIO(data), coder=coder).index
    assert index is not None
    return [stop - start for start, stop in pairwise([*index.offsets.tolist(), len(data)])]


@pytest.mark.parametrize("seconds", [3, 60])
@pytest.mark.parametrize("codebooks", [2, 8, 16])
def test_what_is_around_payloads_takes_few_bytes(codebooks: int, seconds: int) -> None:
    header = ecli_header(codebooks=codebooks)
    ecdc = make_ecdc(header, seconds * 24_000, repeated=0.0)
    *records, end = sizes(streamed_bytes(ecdc))

    payload = 1 + codebooks * 100
    assert set(records[:-1]) == {payload + 6}
    assert end <= 18 + 3 * len(records)


@pytest.mark.parametrize(("frames", "kbps"), [(80, 6.07), (7, 6.86), (1, 14.4)])
def test_raw_codes_take_what_the_documents_say(frames: int, kbps: float) -> None:
    header = ecli_header(chunk_frames=frames, code_model=None)
    seconds = 40
    data = streamed_bytes(make_ecdc(header, seconds * 24_000 - 320))
    around = len(build_header(header)) + 20

    assert (len(data) - around) * 8 / seconds / 1000 == pytest.approx(kbps, abs=0.03)


def test_coding_never_costs_more_than_raw_codes() -> None:
    ecdc = make_ecdc(ecli_header(), 240_000, repeated=0.0)
    raw = replace(ecdc, header=replace(ecdc.header, code_model=None))

    assert sizes(streamed_bytes(ecdc)) == sizes(streamed_bytes(raw))
    assert len(streamed_bytes(ecdc)) == len(streamed_bytes(raw)) + 8


def test_three_seconds_at_a_low_rate_with_a_third_saved() -> None:
    class Thirds(RepeatCoder):
        def encode_chunks(self, chunks: Any) -> list[bytes]:
            return [bytes(-(-codes.size * 10 * 66 // 800)) for codes in chunks]

    header = ecli_header(codebooks=2)
    ecdc = make_ecdc(replace(header, code_model=None), 72_000)
    file = io.BytesIO()
    writer = EcdcWriter(file, header, coder=Thirds())
    for chunk in chunks_of(ecdc):
        writer.write(chunk)
    writer.finish(72_000, 132_300)

    assert len(file.getvalue()) < 480


def test_a_scale_of_a_whole_signal_is_a_byte_and_a_segment_keeps_a_float() -> None:
    whole = make_ecdc(v2_header(coded=False, has_scale=True), 2560)
    segment = make_ecdc(segment_header(version=2), 48_000)

    bare = replace(whole, header=replace(whole.header, has_scale=False), scales=None)
    assert sizes(file_bytes(whole))[0] == sizes(file_bytes(bare))[0] + 1
    assert read_ecdc(io.BytesIO(file_bytes(segment))).scales is not None


def test_scales_of_a_byte_are_half_a_decibel_apart_and_exact_everywhere() -> None:
    getcontext().prec = 40
    scales = [ByteGain().unpack(bytes([step])) for step in range(256)]

    assert (scales[160], scales[200]) == (1.0, 10.0)
    assert 20 * np.log10(scales[0]) == pytest.approx(-80)
    assert 20 * np.log10(scales[255]) == pytest.approx(47.5)
    for step, scale in enumerate(scales):
        assert ByteGain().pack(scale) == bytes([step])
        assert nearest_scale(scale * 1.028) == nearest_scale(scale * 0.973) == scale
        exact = Decimal(10) ** (Decimal(step - 160) / 40)
        # The nearest float32 is nearest by far, so no library's power can miss it.
        neighbours = [float(np.nextafter(np.float32(scale), np.float32(to))) for to in (0, 1e9)]
        for other in neighbours:
            between = (Decimal(scale) + Decimal(other)) / 2
            assert abs(exact - between) > exact * Decimal("1e-13")
        assert abs(exact - Decimal(scale)) < min(abs(exact - Decimal(x)) for x in neighbours)


@pytest.mark.parametrize("scale", [0.123, 1e-9, 1e9])
def test_scales_between_the_steps_are_refused(scale: float) -> None:
    writer = EcdcWriter(io.BytesIO(), v2_header(has_scale=True), coder=CODER)

    with pytest.raises(ContainerError, match="none of the half-dB steps of format 2; write format"):
        writer.write(CodeChunk(np.zeros((2, 8), np.uint16), scale))


def test_a_file_in_a_row_of_calls_is_the_file_of_single_ones() -> None:
    ecdc = make_ecdc(v2_header(has_scale=True), 100 * 2560 + 700)
    coder, file = RepeatCoder(), io.BytesIO()
    writer = EcdcWriter(file, replace(ecdc.header, num_samples=None), coder=coder, live=False)
    for chunk in chunks_of(ecdc):
        writer.write(chunk)
    assert ecdc.header.num_samples is not None
    writer.finish(ecdc.header.num_samples)

    assert coder.calls == [32, 32, 32, 5]
    assert file.getvalue() == streamed_bytes(ecdc)


def test_files_are_decoded_side_by_side_and_pipes_chunk_by_chunk() -> None:
    ecdc = make_ecdc(v2_header(), 100 * 2560)
    data = streamed_bytes(ecdc)
    for file, most in ((io.BytesIO(data), 32), (Pipe(data), 1)):
        coder = RepeatCoder()
        assert_same_chunks(EcdcReader(file, coder=coder), chunks_of(ecdc))
        assert max(coder.calls) <= most
    coder = RepeatCoder()
    reader = EcdcReader(io.BytesIO(data), coder=coder)
    reader.seek(40)
    next(reader)
    assert coder.calls[0] <= 16  # a part of a recording asks for few


def test_a_live_chunk_is_passed_on_whole_and_read_without_waiting_for_more() -> None:
    for samples in (3 * 2560, 2 * 2560 + 1):  # the last one short, of a byte or two
        ecdc = make_ecdc(v2_header(codebooks=1), samples, repeated=1.0)
        first, second, third = chunks_of(ecdc)
        pipe = Pipe()
        writer = EcdcWriter(pipe, replace(ecdc.header, num_samples=None), coder=CODER)
        written = []
        for chunk in (first, second, third):
            writer.write(chunk)
            written.append(len(pipe.written))
        listener = Pipe(bytes(pipe.written))
        reader = EcdcReader(listener, coder=CODER)
        for chunk, length in zip((first, second, third), written, strict=True):
            assert_same_chunks([next(reader)], [chunk])
            assert listener.asked == length


def test_chunks_that_have_arrived_in_a_pipe_are_decoded_together() -> None:
    ecdc = make_ecdc(v2_header(), 40 * 2560, repeated=1.0)
    expected, data = chunks_of(ecdc), streamed_bytes(ecdc)
    part = data[: len(data) // 2]
    reading, writing = os.pipe()
    coder = RepeatCoder()
    with os.fdopen(reading, "rb") as heard, os.fdopen(writing, "wb") as told:
        told.write(part)
        told.flush()
        reader = EcdcReader(heard, coder=coder)
        # The rest does not come before these were asked for.
        early = [next(reader) for _ in range(15)]
        told.write(data[len(part) :])
        told.close()
        assert_same_chunks([*early, *reader], expected)
    assert max(coder.calls) > 8


def test_a_header_from_a_pipe_is_read_without_waiting_for_more() -> None:
    for tags in ({}, {"t": "x" * 500}, {"t": "x" * 30_000}):
        data = build_header(v2_header(tags=tags))
        pipe = Pipe(data + b"more")
        assert EcdcReader(pipe).header.tags == tags
        assert pipe.asked == len(data)


@pytest.mark.parametrize("name", ["coded", "segments"])
def test_seeking_goes_on_at_any_chunk(name: str) -> None:
    ecdc = make_ecdc(HEADERS[name], 3 * 47_520 + 100)
    expected = chunks_of(ecdc)
    file = io.BytesIO(b"something before" + streamed_bytes(ecdc, 5))
    file.seek(16)
    reader = EcdcReader(file, coder=CODER)

    assert reader.index is not None
    assert reader.index.chunks == len(expected)
    for start in (len(expected) - 1, 0, len(expected) - 2, 1):
        reader.seek(start)
        assert_same_chunks(reader, expected[start:])
        assert reader.problems == []
    with pytest.raises(ContainerError, match="cannot seek to chunk 999"):
        reader.seek(999)


def test_a_code_model_that_is_not_here_is_named() -> None:
    data = streamed_bytes(make_ecdc(v2_header(), 10_000))
    reader = EcdcReader(io.BytesIO(data))

    for _ in range(2):
        with pytest.raises(
            ContainerError, match=r"code model c0dec0dec0dec0de\.\.\. of tiny, which"
        ):
            next(reader)
    other = RepeatCoder(sha256="ab" * 32)
    with pytest.raises(ContainerError, match=r"c0dec0dec0dec0de\.\.\., but the one given is abab"):
        next(EcdcReader(io.BytesIO(data), coder=other))
    with pytest.raises(ContainerError, match="which is not here"):
        EcdcWriter(io.BytesIO(), v2_header())


@pytest.mark.parametrize("coder", [RepeatCoder(codebooks=1), RepeatCoder(bits=11)])
def test_a_code_model_of_other_codes_is_refused(coder: RepeatCoder) -> None:
    data = streamed_bytes(make_ecdc(v2_header(), 10_000))

    with pytest.raises(ContainerError, match="2 codebooks of 10 bits: code model c0de"):
        next(EcdcReader(io.BytesIO(data), coder=coder))


def test_what_a_code_model_refuses_to_decode_is_a_damaged_chunk() -> None:
    class Picky(RepeatCoder):
        def decode_chunks(self, runs: Any) -> list[Any]:
            if any(frames == 4 for _, _, frames in runs):
                raise ContainerError("no such run")
            return super().decode_chunks(runs)

    ecdc = make_ecdc(v2_header(), 10 * 2560 + 1000, repeated=1.0)
    reader = EcdcReader(io.BytesIO(streamed_bytes(ecdc)), coder=Picky())
    chunks = list(reader)

    assert_same_chunks(chunks[:-1], chunks_of(ecdc)[:-1])
    assert chunks[-1] == DamagedChunk(10, 4, "no such run")
    assert reader.problems[-1].endswith("no such run")


def test_verifying_notices_a_code_model_that_computes_otherwise() -> None:
    class Wrong(RepeatCoder):
        def decode_chunks(self, runs: Any) -> list[Any]:
            return [codes ^ np.uint16(1) for codes in super().decode_chunks(runs)]

    data = streamed_bytes(make_ecdc(v2_header(), 2560, repeated=1.0))

    assert verify(io.BytesIO(data)) == []
    assert verify(io.BytesIO(data), coder=Wrong(), quick=True) == []
    [problem] = verify(io.BytesIO(data), coder=Wrong())
    assert "does not decode to codes that give its bytes again" in problem


def body(*parts: bytes) -> bytes:
    """A header with any body and the right checksum."""
    data = b"".join(parts)
    return seal(b"ECDC\x02" + varint(len(data)) + data, 0)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (body(), "breaks off at byte 0"),
        (body(b"\x00\x03\x08"), "breaks off at byte 3"),
        (body(b"\x80\x01\x03\x08\x50"), "flags 0x80 of a newer version"),
        (body(b"\x00\x7f\x08\x50"), "model number 127, which only a newer"),
        (body(b"\x02\x03\x08\x50\x00"), "breaks off at byte 2"),
        (body(b"\x00\x03\x00\x50"), "codebooks must be an integer from 1 to 128"),
        (body(b"\x00\x03\x08\x80\x00"), "breaks off"),
        (body(b"\x00\x00\x02\xff\xfe"), "breaks off"),
        (body(b"\x00\x00\x04\x1b[2J\x00"), "breaks off"),
        (body(b"\x40\x03\x08\x50\xff\x7f", b"\x01a" * 100), "breaks off"),
        (body(b"\x40\x03\x08\x50\x01\x01a\x01\n"), "tags must map printable"),
        (b"ECDC\x02\xff\xff\x7f" + bytes(20), "its length .byte 5. is not possible"),
        (b"ECDC\x02\x80\x00" + bytes(20), "its length .byte 5. is not possible"),
        (body(b"\x00\x03\x08\x50")[:-1] + b"!", "header damaged: checksum mismatch"),
    ],
)
def test_headers_that_break_the_rules_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(ContainerError, match=message):
        EcdcReader(io.BytesIO(data))


def test_what_newer_versions_append_to_the_header_is_ignored() -> None:
    assert EcdcReader(io.BytesIO(body(b"\x00\x03\x08\x50more"))).header.codebooks == 8


def test_tags_that_burst_the_header_are_refused() -> None:
    with pytest.raises(ContainerError, match="shorten the tags"):
        EcdcWriter(io.BytesIO(), v2_header(coded=False, tags={"text": "x" * 65536}))


@pytest.mark.parametrize("version", [0, 1])
def test_code_models_belong_to_format_2(version: int) -> None:
    with pytest.raises(ContainerError, match="code_model belongs to format 2"):
        v2_header(version=version, model="encodec_24khz", code_model=CODER.sha256)


@pytest.mark.parametrize("digits", ["0" * 15, "0" * 63, "F" * 16, "", 5])
def test_hashes_have_16_or_64_digits(digits: Any) -> None:
    for name in ("model_sha256", "code_model"):
        with pytest.raises(ContainerError, match=f"{name} must be 16 or 64 lower-case hex"):
            v2_header(**{name: digits})


def test_the_cost_of_chunks_is_what_the_file_grows_by() -> None:
    ecdc = make_ecdc(v2_header(), 40 * 8 * 320)
    chunks = chunks_of(ecdc)[:40]
    costs, sizes = [], []
    for count in (10, 37):
        file = io.BytesIO()
        writer = EcdcWriter(file, v2_header(), coder=CODER, live=False)
        for chunk in chunks[:count]:
            costs.append(writer.cost([chunk]))
            writer.write(chunk)
        assert writer.cost(chunks[:count]) == sum(costs[-count:])  # and nothing is written for it
        writer.finish(count * 8 * 320)
        sizes.append(len(file.getvalue()))
    assert costs[:10] == costs[10:20]
    # Beside them a longer end record has a longer head.
    assert sizes[1] - sizes[0] == pytest.approx(sum(costs[20:]), abs=1)
    with pytest.raises(ContainerError, match="format 0 has no chunks"):
        EcdcWriter(io.BytesIO(), v0_header("encodec_24khz", codebooks=2)).cost([])
