"""`decode --start --duration`: from files and pipes, at any rate, past damage."""

import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile
from cases import mostly_slow
from cli_samples import (
    RATE,
    damaged_copy,
    make_model,
    mono_config,
    run,
    stereo_config,
    write_audio,
    write_model,
)
from ecdc_samples import Pipe
from numpy.typing import NDArray

from encodec_cli.checkpoints.load import load_model
from encodec_cli.cli.timecode import parse_time
from encodec_cli.container import EcdcReader, read_ecdc, write_ecdc
from encodec_cli.errors import UsageError
from encodec_cli.pipeline.decode import DecodeOptions, decode_chunks

SECONDS = 9.0


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory, mono: Path) -> Path:
    """Nine seconds in nine chunks, from 16 kHz."""
    folder = tmp_path_factory.mktemp("coded")
    source = write_audio(folder / "speech.wav", round(SECONDS * 16_000), rate=16_000)
    run("encode", source, "-m", mono).ok()
    return folder / "speech.ecdc"


def audio(path: Path) -> NDArray[np.float64]:
    samples: NDArray[np.float64] = soundfile.read(path, always_2d=True)[0]
    return samples


def decoded(
    folder: Path, source: Path, model: Path, *arguments: str, code: int = 0
) -> NDArray[np.float64]:
    target = folder / "out.wav"
    result = run("decode", source, target, "-m", model, "-f", "--encoding", "float", *arguments)
    assert (result.code, result.errors) == (code, []), result.stderr
    return audio(target)


def assert_close(part: NDArray[np.float64], expected: NDArray[np.float64]) -> None:
    """Equal in length, and to -60 dB."""
    assert part.shape == expected.shape
    np.testing.assert_allclose(part, expected, rtol=0, atol=1e-3 * expected.std())


@pytest.mark.parametrize(
    "rate", mostly_slow([None, "44101", "source", "8000", "44100", "48000"], 2)
)
@pytest.mark.parametrize(("start", "duration"), [("6.5", "1.25"), ("0:07.77", None), ("0", "2")])
def test_any_rate(
    tmp_path: Path, mono: Path, coded: Path, rate: str | None, start: str, duration: str | None
) -> None:
    options = [] if rate is None else ["--sample-rate", rate]
    full = decoded(tmp_path, coded, mono, *options)
    hertz = {None: RATE, "source": 16_000}.get(rate) or int(str(rate))
    times = ["--start", start] + ([] if duration is None else ["--duration", duration])
    part = decoded(tmp_path, coded, mono, *options, *times)
    begin = parse_time(start, "")
    assert begin is not None
    first = math.floor(begin * hertz + Fraction(1, 2))
    end = None
    if duration is not None:
        end = math.floor((begin + Fraction(duration)) * hertz + Fraction(1, 2))
    assert_close(part, full[first:end])


def test_fewer_codebooks(tmp_path: Path, mono: Path, coded: Path) -> None:
    full = decoded(tmp_path, coded, mono, "-b", "1.5")
    part = decoded(tmp_path, coded, mono, "-b", "1.5", "--start", "5")
    assert_close(part, full[5 * RATE :])


def test_more_than_there_is_ends_with_the_recording(
    tmp_path: Path, mono: Path, coded: Path
) -> None:
    full = decoded(tmp_path, coded, mono)
    assert_close(
        decoded(tmp_path, coded, mono, "--start", "8.9", "--duration", "60"),
        full[round(8.9 * RATE) :],
    )


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--sample-rate", "44100")])
def test_a_segment_model(tmp_path: Path, options: tuple[str, ...]) -> None:
    model = write_model(tmp_path / "stereo.safetensors", make_model(stereo_config()))
    source = write_audio(tmp_path / "a.wav", 48_000 * 5 + 7, rate=48_000, channels=2)
    run("encode", source, "-m", model).ok()
    ecdc = tmp_path / "a.ecdc"
    full = decoded(tmp_path, ecdc, model, *options)
    rate = 44_100 if options else 48_000
    part = decoded(tmp_path, ecdc, model, *options, "--start", "3.3", "--duration", "1.5")
    assert_close(part, full[round(3.3 * rate) : round(4.8 * rate)])


def test_format_0_seeks_by_arithmetic(tmp_path: Path) -> None:
    model = write_model(
        tmp_path / "meta.safetensors", make_model(mono_config(name="encodec_24khz"))
    )
    source = write_audio(tmp_path / "a.wav", 120_001)
    run("encode", source, "-m", model, "--format", "v0").ok()
    full = decoded(tmp_path, tmp_path / "a.ecdc", model)
    assert_close(
        decoded(tmp_path, tmp_path / "a.ecdc", model, "--start", "4.5"), full[round(4.5 * RATE) :]
    )


class Watched(Pipe):
    """A file that can seek, and remembers how much of it was read."""

    bytes_read = 0

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._data.seek(offset, whence)

    def tell(self) -> int:
        return self._data.tell()

    def read(self, size: int = -1, /) -> bytes:
        data = self._data.read(size)
        self.bytes_read += len(data)
        return data


def decode_bytes(
    data: bytes | Pipe, model: Path, target: Path, options: DecodeOptions
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    file = Pipe(data) if isinstance(data, bytes) else data
    options = replace(options, encoding="float", force=True)
    report = decode_chunks(load_model(model), EcdcReader(file), "stdin", target, options)
    return audio(target), report.damage


@pytest.mark.parametrize("kept", [None, -20, -2000], ids=["pipe", "no end mark", "truncated"])
def test_without_an_index_the_file_is_scanned(
    tmp_path: Path, mono: Path, coded: Path, kept: int | None
) -> None:
    full = decoded(tmp_path, coded, mono)
    options = DecodeOptions(start=5.5, duration=0.75)
    part, damage = decode_bytes(coded.read_bytes()[:kept], mono, tmp_path / "part.wav", options)
    assert_close(part, full[round(5.5 * RATE) : round(6.25 * RATE)])
    assert damage == ()


def test_with_an_index_the_rest_is_not_read(tmp_path: Path, mono: Path, coded: Path) -> None:
    watched = Watched(coded.read_bytes())
    options = DecodeOptions(start=6, duration=0.5)
    decode_bytes(watched, mono, tmp_path / "part.wav", options)
    assert watched.bytes_read < 0.6 * len(coded.read_bytes())


@pytest.fixture
def hurt(tmp_path: Path, coded: Path) -> Path:
    """Chunk 1, from 1.07 to 2.13 s, is damaged."""
    return damaged_copy(coded, tmp_path / "hurt.ecdc", Fraction(1, 6))


def test_damage_elsewhere_does_not_matter(
    tmp_path: Path, mono: Path, coded: Path, hurt: Path
) -> None:
    full = decoded(tmp_path, coded, mono)
    times = ("--start", "6", "--duration", "1")
    assert_close(decoded(tmp_path, hurt, mono, *times), full[6 * RATE : 7 * RATE])
    options = DecodeOptions(start=6, duration=1, conceal=True)
    part, damage = decode_bytes(hurt.read_bytes(), mono, tmp_path / "part.wav", options)
    assert_close(part, full[6 * RATE : 7 * RATE])
    assert damage == ()


def test_damage_in_the_part(tmp_path: Path, mono: Path, hurt: Path) -> None:
    run("decode", hurt, "-m", mono, "--start", "1.5").refused(1, "chunk 1 at 1.07 s", "--conceal")
    concealed = decoded(tmp_path, hurt, mono, "--conceal", code=1)
    part = decoded(tmp_path, hurt, mono, "--conceal", "--start", "1.5", "--duration", "1.5", code=1)
    assert_close(part, concealed[round(1.5 * RATE) : 3 * RATE])


def test_rescale_knows_only_the_part(tmp_path: Path, coded: Path) -> None:
    loud = write_model(tmp_path / "loud.safetensors", make_model(mono_config(), gain=20.0))
    data = read_ecdc(coded)
    write_ecdc(tmp_path / "l.ecdc", replace(data, header=replace(data.header, model_sha256=None)))
    part = decoded(tmp_path, tmp_path / "l.ecdc", loud, "--rescale", "--start", "5")
    assert np.abs(part).max() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--start", "9"), "--start 9: lies beyond the end of the audio of 9.000 s"),
        (("--start", "1:00:00"), "--start 3600: lies beyond the end"),
        (("--start", "x"), "--start x: give seconds, or [hh:]mm:ss.s"),
        (("--start", "1:60"), "--start 1:60: minutes and seconds go up to 59"),
        (("--duration", "0"), "--duration 0: give seconds, more than 0"),
        (("--start", "-1"), "--start -1: give seconds"),
    ],
)
def test_times_that_cannot_be(
    tmp_path: Path, mono: Path, coded: Path, options: tuple[str, ...], words: str
) -> None:
    run("decode", coded, tmp_path / "x.wav", "-m", mono, *options).refused(2, words)
    assert not (tmp_path / "x.wav").exists()


def test_a_pipe_tells_only_at_its_end_that_it_was_too_short(
    tmp_path: Path, mono: Path, coded: Path
) -> None:
    with pytest.raises(UsageError, match=r"start=10: lies beyond the end of the audio of 9\.000"):
        decode_bytes(coded.read_bytes(), mono, tmp_path / "x.wav", DecodeOptions(start=10))
    assert not (tmp_path / "x.wav").exists()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("90.25", Fraction("90.25")),
        ("1:30.5", Fraction("90.5")),
        ("90:00", 5400),
        ("01:02:03.5", Fraction("3723.5")),
        (".5", Fraction("0.5")),
        ("0.1", Fraction("0.1")),
    ],
)
def test_times_as_people_write_them(text: str, seconds: Fraction) -> None:
    assert parse_time(text, "--start") == seconds


@pytest.mark.parametrize(
    "text", ["", ":", "1:", "1:2:3:4", "-1", "1e3", "1,5", "1:61:00", "٣", "1h"]
)
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"^--start "):
        parse_time(text, "--start")
