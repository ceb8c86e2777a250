"""Peeling, summaries, verification, and the worked example of docs/ecdc.md."""

import io
import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ecdc_samples import (
    CODER,
    Pipe,
    assert_same_chunks,
    assert_same_codes,
    chunks_of,
    file_bytes,
    make_ecdc,
    segment_header,
    small_header,
    streamed_bytes,
    v2_header,
)

import encodec_cli.container
from encodec_cli.container import (
    Ecdc,
    EcdcReader,
    Header,
    MemorySource,
    peel,
    read_ecdc,
    summarize,
    v0_header,
    verify,
)
from encodec_cli.container.known_models import KNOWN_MODELS
from encodec_cli.errors import ContainerError, UsageError

DOCS = Path(__file__).parents[1] / "docs" / "ecdc.md"


@pytest.mark.parametrize(
    "header",
    [
        small_header(codebooks=8, tags={"a": "b"}, model_sha256="0" * 64),
        segment_header(codebooks=4),
        v2_header(codebooks=8, has_scale=True, tags={"a": "b"}),
        v2_header(coded=False, codebooks=8, model_sha256="0" * 16),
        segment_header(version=2, code_model=CODER.sha256[:16], codebooks=4),
        v0_header("encodec_24khz", codebooks=8),
        v0_header("encodec_48khz", codebooks=16),
    ],
    ids=["v1-whole", "v1-segments", "v2-coded", "v2-raw", "v2-segments", "v0-24khz", "v0-48khz"],
)
def test_peeling_gives_the_file_of_an_encoder_with_fewer_codebooks(header: Header) -> None:
    ecdc = make_ecdc(header, 100_000)
    for codebooks in range(1, header.codebooks + 1):
        fewer = Ecdc(replace(ecdc.header, codebooks=codebooks), ecdc.codes[:codebooks], ecdc.scales)
        target = Pipe()
        written = peel(EcdcReader(Pipe(file_bytes(ecdc)), coder=CODER), target, codebooks)
        assert bytes(target.written) == file_bytes(fewer)
        assert written == fewer.header


def test_a_streamed_file_is_peeled_without_knowing_its_length() -> None:
    ecdc = make_ecdc(small_header(codebooks=4), 10_000)
    fewer = Ecdc(replace(ecdc.header, codebooks=1), ecdc.codes[:1])
    target = Pipe()
    peel(EcdcReader(Pipe(streamed_bytes(ecdc, 3))), target, 1)

    assert bytes(target.written) == streamed_bytes(fewer, 3)


@pytest.mark.parametrize("codebooks", [0, 3])
def test_only_codebooks_that_exist_can_be_kept(codebooks: int) -> None:
    data = file_bytes(make_ecdc(small_header(), 5000))

    with pytest.raises(UsageError, match=f"cannot keep {codebooks} of 2 codebooks"):
        peel(EcdcReader(io.BytesIO(data)), io.BytesIO(), codebooks)


def test_damage_is_not_peeled() -> None:
    data = bytearray(file_bytes(make_ecdc(small_header(), 5000)))
    data[100] ^= 1

    with pytest.raises(ContainerError, match="cannot copy damage: chunk 0 at"):
        peel(EcdcReader(io.BytesIO(data)), io.BytesIO(), 1)
    with pytest.raises(ContainerError, match="truncated"):
        peel(EcdcReader(io.BytesIO(data[:70])), io.BytesIO(), 1)


def test_peeling_without_the_code_model_names_it() -> None:
    data = file_bytes(make_ecdc(v2_header(), 10_000))

    with pytest.raises(ContainerError, match="code model c0dec0dec0dec0de"):
        peel(EcdcReader(io.BytesIO(data)), io.BytesIO(), 1)


def test_summary_of_entropy_coded_chunks_needs_no_code_model() -> None:
    data = streamed_bytes(make_ecdc(v2_header(), 24_000, repeated=0.9))
    summary = summarize(io.BytesIO(data))

    assert (summary.chunks, summary.coded, summary.problems) == (10, 8, ())
    assert 0 < summary.payload_bytes < summary.file_bytes
    assert summary.payload_kbps == pytest.approx(summary.payload_bytes * 8 / 1000)


@pytest.mark.parametrize("pipe", [False, True], ids=["file", "pipe"])
def test_summary_of_an_intact_file(pipe: bool) -> None:
    data = streamed_bytes(make_ecdc(small_header(), 24_000), 44_100)
    summary = summarize(Pipe(data) if pipe else io.BytesIO(data))

    assert summary.header == small_header(num_samples=24_000, source_num_samples=44_100)
    assert (summary.file_bytes, summary.chunks, summary.frames) == (len(data), 10, 75)
    assert summary.duration == 1.0
    assert summary.kbps == pytest.approx(len(data) * 8 / 1000)
    assert (summary.damaged, summary.problems, summary.warnings) == ((), (), ())


def test_summary_of_a_damaged_file_names_the_damage() -> None:
    data = bytearray(streamed_bytes(make_ecdc(small_header(), 24_000)))
    data[-60] ^= 1  # inside the last whole chunk
    summary = summarize(io.BytesIO(data))

    assert [chunk.index for chunk in summary.damaged] == [8]
    assert len(summary.problems) == 1
    assert "chunk 8 at 0.85 s" in summary.problems[0]


def test_summary_of_a_truncated_file_counts_what_is_there() -> None:
    ecdc = make_ecdc(small_header(), 24_000)
    whole = streamed_bytes(ecdc)
    summary = summarize(io.BytesIO(whole[: len(whole) // 2]))

    assert summary.header.num_samples is None
    assert 0 < summary.chunks < len(chunks_of(ecdc))
    assert summary.duration == summary.chunks * 8 / 75
    assert "truncated" in summary.problems[0]


def test_summary_refuses_what_is_no_ecdc_file() -> None:
    with pytest.raises(ContainerError, match="FLAC"):
        summarize(io.BytesIO(b"fLaC" + bytes(100)))
    assert verify(io.BytesIO(b"fLaC")) == ["not an .ecdc file but a FLAC file; encode it first"]


def test_the_worked_example_of_the_documentation_is_a_file() -> None:
    text = DOCS.read_text()
    listing = re.search(r"```hex\n(.*?)```", text, re.DOTALL)
    assert listing is not None
    lines = [line.split("|")[0] for line in listing[1].splitlines()]
    data = bytes.fromhex("".join(lines))
    ecdc = read_ecdc(io.BytesIO(data))

    assert ecdc.header.model == "demo"
    assert ecdc.header.num_samples == 3000
    assert ecdc.header.source_num_samples is None
    assert ecdc.codes[:, :4].tolist() == [[1, 2, 3, 1023], [513, 0, 0, 0]]
    assert ecdc.codes.shape == (2, 10)
    assert not ecdc.codes[:, 4:].any()
    assert streamed_bytes(ecdc) == data


def test_the_worked_example_of_version_2_is_a_file() -> None:
    listing = re.search(r"```hex2\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert listing is not None
    data = bytes.fromhex("".join(line.split("|")[0] for line in listing[1].splitlines()))
    ecdc = read_ecdc(io.BytesIO(data))

    assert (ecdc.header.version, ecdc.header.model) == (2, "ecli_24khz")
    assert (ecdc.header.num_samples, ecdc.header.source_num_samples) == (900, None)
    assert ecdc.codes.tolist() == [[1, 2, 3, 1023], [513, 0, 0, 0]]
    assert ecdc.scales is not None
    assert 20 * math.log10(ecdc.scales[0]) == pytest.approx(-6)
    assert streamed_bytes(ecdc) == data


def test_the_documentation_lists_the_numbers_of_models() -> None:
    row = r"^\| (\d+) `(\w+)` \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (\d*) ?\| (\d*) ?\| (\d*) ?\|"
    documented = re.findall(row, DOCS.read_text(), re.MULTILINE)

    assert len(documented) == len(KNOWN_MODELS)
    for number, (name, known) in enumerate(KNOWN_MODELS, 1):
        keys = ("sample_rate", "channels", "hop", "bits", "segment", "stride", "end_padding")
        values = [str(getattr(known, key) or "") for key in keys]
        assert documented[number - 1] == (str(number), name, *values)


def test_the_documentation_lists_every_header_key() -> None:
    from encodec_cli.container.v1_records import _KEYS

    documented = dict(re.findall(r"^\| `(\w+)` \| `(\w+)` \|", DOCS.read_text(), re.MULTILINE))

    assert documented == {key: name for name, key in _KEYS.items()}


def test_every_exported_name_exists() -> None:
    for name in encodec_cli.container.__all__:
        assert hasattr(encodec_cli.container, name)


def test_the_container_needs_no_torch() -> None:
    code = "import sys, encodec_cli.container; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_codes_of_a_peeled_file_are_the_first_rows() -> None:
    ecdc = make_ecdc(segment_header(codebooks=4), 100_000)
    target = io.BytesIO()
    peel(EcdcReader(io.BytesIO(file_bytes(ecdc))), target, 2)
    target.seek(0)

    assert_same_codes(read_ecdc(target).codes, ecdc.codes[:2])


# ---- which codebooks of a file


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        ({}, 8),
        ({"n_q": 1}, 1),
        ({"n_q": 8}, 8),
        ({"bandwidth": 6}, 8),
        ({"bandwidth": 5.99}, 7),
        ({"bandwidth": 0.75}, 1),
        ({"bandwidth": 2.2500000001}, 3),
    ],
)
def test_codebooks_are_the_most_that_fit(wanted: dict[str, Any], kept: int) -> None:
    header = small_header(codebooks=8)
    assert header.bandwidth_kbps == 6
    assert header.choose_codebooks(**wanted) == kept


def test_every_rate_holds_its_own_codebooks() -> None:
    """1.1 kb/s and the like are no exact binary numbers."""
    header = small_header(codebooks=16, sample_rate=44_100, hop=441, bits=11)
    for codebooks in range(1, 17):
        assert header.choose_codebooks(round(1.1 * codebooks, 1)) == codebooks


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"n_q": 0}, r"holds 8 codebooks \(6 kb/s\), not 0; ask for 1 to 8"),
        ({"n_q": 9}, r"holds 8 codebooks \(6 kb/s\), not 9; ask for 1 to 8"),
        ({"bandwidth": 6.75}, r"holds 8 codebooks \(6 kb/s\), not 9"),
        ({"bandwidth": 1e300}, "holds 8 codebooks"),
        ({"bandwidth": 0.7}, "one codebook takes 0.75 kb/s"),
        ({"bandwidth": 0}, "give a number above 0"),
        ({"bandwidth": math.nan}, "give a number above 0"),
        ({"bandwidth": math.inf}, "give a number above 0"),
    ],
)
def test_codebooks_that_a_file_has_not(wanted: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        small_header(codebooks=8).choose_codebooks(**wanted)


# ---- codes in memory as a source


@pytest.mark.parametrize(
    "header", [small_header(), small_header(end_padding=320), segment_header()], ids=str
)
@pytest.mark.parametrize("samples", [1, 2560, 10_000, 100_000])
def test_codes_in_memory_are_read_like_their_file(header: Header, samples: int) -> None:
    ecdc = make_ecdc(replace(header, source_num_samples=2 * samples), samples)
    memory, file = MemorySource(ecdc), EcdcReader(io.BytesIO(file_bytes(ecdc)))
    assert memory.header == file.header
    assert (memory.num_samples, memory.play_rate) == (samples, file.play_rate)
    assert memory.source_num_samples == 2 * samples
    assert memory.seekable
    assert memory.problems == []
    whole = list(memory)
    assert_same_chunks(whole, list(file))
    for start in {0, len(whole) // 2, len(whole) - 1}:
        memory.seek(start)
        assert_same_chunks(list(memory), whole[start:])


def test_codes_in_memory_must_fit_their_header() -> None:
    ecdc = make_ecdc(segment_header(), 100_000)
    assert ecdc.scales is not None
    for wrong, message in (
        (replace(ecdc, codes=ecdc.codes[:, 1:]), "100000 samples take .* frames, got codes"),
        (replace(ecdc, scales=ecdc.scales[1:]), "chunks take .* scales"),
        (replace(ecdc, header=replace(ecdc.header, num_samples=None)), "num_samples must be given"),
    ):
        with pytest.raises(ContainerError, match=message):
            MemorySource(wrong)
