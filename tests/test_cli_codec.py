"""`encode`, `decode` on single files: results, lengths, rates, refusals."""

import io
import json
import re
import wave
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile
from cases import mostly_slow
from cli_samples import (
    HOP,
    RATE,
    damaged_copy,
    make_model,
    mono_config,
    run,
    tone,
    write_audio,
    write_model,
)

from encodec_cli.container import read_ecdc

CHUNK = 80 * HOP


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory, mono: Path) -> Path:
    """Three and a half seconds in 8 codebooks, four chunks, from 16 kHz."""
    folder = tmp_path_factory.mktemp("coded")
    source = write_audio(folder / "speech.wav", 56_000, rate=16_000)
    run("encode", source, "-m", mono).ok()
    return folder / "speech.ecdc"


# Results


def test_encode_writes_beside_the_input_and_says_so_on_stderr(tmp_path: Path, mono: Path) -> None:
    source = write_audio(tmp_path / "a.wav", 30_000)
    result = run("encode", source, "-m", mono).ok()
    target = tmp_path / "a.ecdc"
    header = read_ecdc(target).header
    assert (header.num_samples, header.codebooks, header.source_sample_rate) == (30_000, 8, RATE)
    assert result.stdout == b""
    size = target.stat().st_size
    kbps = size * 8 / (30_000 / RATE) / 1000
    assert f"{source} -> {target}: 1.25 s, {size:,} bytes, {kbps:.2f} kb/s" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_decode_writes_beside_the_input(tmp_path: Path, mono: Path, coded: Path) -> None:
    source = tmp_path / "a.ecdc"
    source.write_bytes(coded.read_bytes())
    result = run("decode", source, "-m", mono).ok()
    assert result.stdout == b""
    assert f"{source} -> {tmp_path / 'a.wav'}: 3.50 s at 24000 Hz, 8 codebooks" in result.stderr
    info = soundfile.info(tmp_path / "a.wav")
    assert (info.frames, info.samplerate, info.subtype) == (84_000, RATE, "PCM_16")


def test_quiet_says_nothing_at_all(tmp_path: Path, mono: Path) -> None:
    source = write_audio(tmp_path / "a.wav", 5000)
    for arguments in (("encode", source), ("decode", tmp_path / "a.ecdc", "-f")):
        result = run(*arguments, "-m", mono, "--quiet").ok()
        assert (result.stdout, result.stderr) == (b"", "")


def test_json_of_encode_and_decode_is_one_complete_line(tmp_path: Path, mono: Path) -> None:
    source = write_audio(tmp_path / "a.wav", 24_000)
    target = tmp_path / "a.ecdc"
    result = run("encode", source, "-m", mono, "--json").ok()
    assert result.stderr == ""
    [line] = result.text.splitlines()
    encoded = json.loads(line)
    assert encoded.pop("elapsed_seconds") >= 0
    assert encoded.pop("speed") > 0
    size = target.stat().st_size
    assert encoded == {
        "source": str(source),
        "target": str(target),
        "model": "tiny24",
        "codebooks": 8,
        "seconds": 1.0,
        "bytes": size,
        "kbps": size * 8 / 1000,
        "source_channels": 1,
        "channels": 1,
        "tags": {},
        "tags_left_out": [],
        "notes": [],
        "source_deleted": False,
        "target_kbps": None,
    }
    result = run("decode", target, tmp_path / "b.flac", "-m", mono, "--json", "--n-q", "3").ok()
    decoded = json.loads(result.text)
    assert decoded.pop("elapsed_seconds") >= 0
    assert decoded.pop("speed") > 0
    assert decoded == {
        "source": str(target),
        "target": str(tmp_path / "b.flac"),
        "model": "tiny24",
        "codebooks": 3,
        "sample_rate": RATE,
        "samples": 24_000,
        "clipped": 0,
        "gain": 1.0,
        "damage": [],
        "notes": [],
        "tags": {},
        "tags_left_out": [],
        "source_deleted": False,
        "seconds": 1.0,
    }


@pytest.mark.parametrize(
    ("options", "codebooks"),
    [
        ((), 8),
        (("--bandwidth", "6"), 8),
        (("-b", "1.5"), 2),
        (("-b", "0.75"), 1),
        (("-b", "2.2"), 2),
        (("--n-q", "5"), 5),
    ],
)
def test_bandwidth_chooses_codebooks(
    tmp_path: Path, mono: Path, options: tuple[str, ...], codebooks: int
) -> None:
    source = write_audio(tmp_path / "a.wav", 4000)
    run("encode", source, "-m", mono, *options).ok()
    assert read_ecdc(tmp_path / "a.ecdc").header.codebooks == codebooks


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("-b", "3", "--n-q", "2"), "give --bandwidth or --n-q, not both"),
        (("-b", "24"), "tiny24 codes 0.75 to 6 kb/s"),
        (("-b", "0.5"), "tiny24 codes 0.75 to 6 kb/s"),
        (("-b", "0"), "give a number above 0"),
        (("-b", "-3"), "give a number above 0"),
        (("-b", "nan"), "give a number above 0"),
        (("-b", "inf"), "give a number above 0"),
        (("--n-q", "9"), "9 codebooks: tiny24 has 1 to 8"),
        (("--n-q", "0"), "0 codebooks: tiny24 has 1 to 8"),
        (("--force", "--skip-existing"), "--force or --skip-existing, not both"),
        (("--device", "warp9"), "--device warp9: no device that codes"),
    ],
)
def test_impossible_options_are_usage_errors(
    tmp_path: Path, mono: Path, options: tuple[str, ...], words: str
) -> None:
    source = write_audio(tmp_path / "a.wav", 4000)
    run("encode", source, "-m", mono, *options).refused(2, words)
    assert [p.name for p in tmp_path.iterdir()] == ["a.wav"]


@pytest.mark.parametrize(
    "arguments",
    [("encode",), ("nonsense",), ("encode", "a.wav", "--threads", "0"), ("encode", "--colour")],
    ids=" ".join,
)
def test_what_typer_refuses_is_usage_too(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert (result.code, result.stdout) == (2, b"")
    assert "Usage: encodec-cli" in result.stderr


# Lengths and rates


@pytest.mark.parametrize(
    "samples", [1, 2, HOP - 1, HOP, HOP + 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK]
)
def test_decoded_file_is_as_long_as_the_source(tmp_path: Path, mono: Path, samples: int) -> None:
    source = write_audio(tmp_path / "a.wav", samples)
    run("encode", source, "-m", mono).ok()
    run("decode", tmp_path / "a.ecdc", tmp_path / "b.wav", "-m", mono).ok()
    assert soundfile.info(tmp_path / "b.wav").frames == samples


@pytest.mark.parametrize("samples", [1, 319, 47_519, 47_520, 47_521, 48_000, 95_041])
def test_decoded_file_of_a_segment_model_is_as_long_as_the_source(
    tmp_path: Path, stereo: Path, samples: int
) -> None:
    source = write_audio(tmp_path / "a.wav", samples, rate=48_000, channels=2)
    run("encode", source, "-m", stereo, "--n-q", "2").ok()
    run("decode", tmp_path / "a.ecdc", tmp_path / "b.wav", "-m", stereo).ok()
    info = soundfile.info(tmp_path / "b.wav")
    assert (info.frames, info.channels, info.samplerate) == (samples, 2, 48_000)


@pytest.mark.parametrize(
    "rate", mostly_slow([16_000, 44_101, 8000, 11_025, 24_000, 44_100, 48_000, 96_000], 2)
)
def test_source_rate_and_length_come_back(tmp_path: Path, mono: Path, rate: int) -> None:
    for samples in (1, 7, rate // 3, rate + 1):
        source = write_audio(tmp_path / "a.wav", samples, rate=rate)
        run("encode", source, "-m", mono, "-f").ok()
        target = tmp_path / "b.wav"
        run("decode", tmp_path / "a.ecdc", target, "-m", mono, "--sample-rate", "source", "-f").ok()
        info = soundfile.info(target)
        assert (info.frames, info.samplerate) == (samples, rate)


def test_sample_rate_in_hertz_keeps_the_duration(tmp_path: Path, mono: Path, coded: Path) -> None:
    run("decode", coded, tmp_path / "b.wav", "-m", mono, "--sample-rate", "8000").ok()
    info = soundfile.info(tmp_path / "b.wav")
    assert (info.frames, info.samplerate) == (28_000, 8000)


@pytest.mark.parametrize("rate", ["0", "999", "768001", "44.1k", "sauce", "-8000", ""])
def test_odd_sample_rates_are_usage_errors(
    tmp_path: Path, mono: Path, coded: Path, rate: str
) -> None:
    result = run("decode", coded, tmp_path / "b.wav", "-m", mono, f"--sample-rate={rate}")
    result.refused(2, "give 1000 to 768000 Hz, or source")


@pytest.mark.parametrize(("channels", "target"), [(2, 1), (6, 1), (1, 2), (6, 2)])
def test_channels_are_mixed_to_the_models(
    tmp_path: Path, mono: Path, stereo: Path, channels: int, target: int
) -> None:
    model = {1: mono, 2: stereo}[target]
    source = write_audio(tmp_path / "a.wav", 10_000, channels=channels)
    run("encode", source, "-m", model, "--n-q", "2").ok()
    run("decode", tmp_path / "a.ecdc", tmp_path / "b.wav", "-m", model).ok()
    assert read_ecdc(tmp_path / "a.ecdc").header.source_channels == channels
    assert soundfile.info(tmp_path / "b.wav").channels == target


def test_equal_channels_code_like_one(tmp_path: Path, mono: Path) -> None:
    x = tone(0.5)
    soundfile.write(tmp_path / "one.wav", x, RATE)
    soundfile.write(tmp_path / "two.wav", np.repeat(x, 2, axis=1), RATE)
    codes = []
    for name in ("one", "two"):
        run("encode", tmp_path / f"{name}.wav", "-m", mono).ok()
        codes.append(read_ecdc(tmp_path / f"{name}.ecdc").codes)
    np.testing.assert_array_equal(*codes)


@pytest.mark.parametrize(
    ("name", "options", "subtype"),
    [
        ("b.wav", (), "PCM_16"),
        ("b.wav", ("--encoding", "pcm24"), "PCM_24"),
        ("b.wav", ("--encoding", "float"), "FLOAT"),
        ("b.flac", (), "PCM_16"),
        ("b.ogg", (), "VORBIS"),
        ("b.bin", ("--audio-format", "flac"), "PCM_16"),
    ],
)
def test_formats_by_suffix_and_option(
    tmp_path: Path, mono: Path, coded: Path, name: str, options: tuple[str, ...], subtype: str
) -> None:
    run("decode", coded, tmp_path / name, "-m", mono, *options).ok()
    info = soundfile.info(tmp_path / name)
    assert (info.subtype, info.frames) == (subtype, 84_000)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("b.mp3", (), "unknown suffix '.mp3'"),
        ("b.flac", ("--encoding", "float"), "FLAC stores no float"),
        ("b.ogg", ("--encoding", "pcm16"), "leave it out"),
        ("-", ("--audio-format", "flac"), "stdout carries WAV only"),
        ("-", ("--json",), "--json and the output both want stdout"),
    ],
)
def test_formats_that_cannot_be_are_usage_errors(
    tmp_path: Path, mono: Path, coded: Path, name: str, options: tuple[str, ...], words: str
) -> None:
    target = name if name == "-" else tmp_path / name
    run("decode", coded, target, "-m", mono, *options).refused(2, words)
    assert list(tmp_path.iterdir()) == []


# Fewer codebooks


@pytest.mark.parametrize(("option", "n_q"), [(("--n-q", "3"), 3), (("--bandwidth", "1.5"), 2)])
def test_fewer_codebooks_decode_like_the_peeled_file(
    tmp_path: Path, mono: Path, coded: Path, option: tuple[str, str], n_q: int
) -> None:
    run("peel", coded, tmp_path / "p.ecdc", *option).ok()
    assert read_ecdc(tmp_path / "p.ecdc").header.codebooks == n_q
    run("decode", tmp_path / "p.ecdc", "-m", mono).ok()
    run("decode", coded, tmp_path / "q.wav", "-m", mono, *option).ok()
    peeled, fewer = ((tmp_path / name).read_bytes() for name in ("p.wav", "q.wav"))
    assert peeled == fewer
    run("decode", coded, tmp_path / "all.wav", "-m", mono).ok()
    assert (tmp_path / "all.wav").read_bytes() != fewer


@pytest.mark.parametrize("option", [("--n-q", "8"), ("--bandwidth", "6")])
def test_more_codebooks_than_stored_are_refused(
    tmp_path: Path, mono: Path, coded: Path, option: tuple[str, str]
) -> None:
    run("peel", coded, tmp_path / "p.ecdc", "--n-q", "4").ok()
    for arguments in (
        ("decode", tmp_path / "p.ecdc", tmp_path / "q.wav", "-m", mono),
        ("peel", tmp_path / "p.ecdc", tmp_path / "q.wav"),
    ):
        run(*arguments, *option).refused(2, str(tmp_path / "p.ecdc"), "4 codebooks")
    assert [p.name for p in tmp_path.iterdir()] == ["p.ecdc"]


# Level


@pytest.fixture(scope="module")
def loud(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = make_model(mono_config(name="loud"), gain=8.0)
    return write_model(tmp_path_factory.mktemp("loud") / "loud.safetensors", model)


def test_clipping_is_counted_and_rescale_avoids_it(tmp_path: Path, loud: Path) -> None:
    source = write_audio(tmp_path / "a.wav", 48_000, level=0.9)
    run("encode", source, "-m", loud).ok()
    packed = tmp_path / "a.ecdc"
    run("decode", packed, tmp_path / "f.wav", "-m", loud, "--encoding", "float").ok()
    exact = soundfile.read(tmp_path / "f.wav")[0]
    beyond = int((np.abs(exact) > 1).sum())
    assert beyond > 0

    result = run("decode", packed, tmp_path / "c.wav", "-m", loud).ok()
    [warning] = [x for x in result.stderr.splitlines() if x.startswith("encodec-cli: warning: ")]
    assert f"c.wav: {beyond:,} samples clipped; --rescale avoids it" in warning
    result = run("decode", packed, tmp_path / "c.wav", "-m", loud, "--json", "-f", "-q").ok()
    assert json.loads(result.text)["clipped"] == beyond
    clipped = soundfile.read(tmp_path / "c.wav")[0]
    np.testing.assert_allclose(clipped, np.clip(exact, -1, 1), atol=2**-15)

    result = run("decode", packed, tmp_path / "r.wav", "-m", loud, "--rescale", "--json").ok()
    report = json.loads(result.text)
    assert (report["clipped"], "clipped" in result.stderr) == (0, False)
    assert report["gain"] == pytest.approx(1 / np.abs(exact).max(), rel=1e-3)
    rescaled = soundfile.read(tmp_path / "r.wav")[0]
    np.testing.assert_allclose(rescaled, exact * report["gain"], atol=5e-4)


def test_rescale_leaves_a_quiet_recording_alone(tmp_path: Path, mono: Path, coded: Path) -> None:
    run("decode", coded, tmp_path / "a.wav", "-m", mono).ok()
    run("decode", coded, tmp_path / "b.wav", "-m", mono, "--rescale").ok()
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


# Damage


@pytest.fixture
def damaged(tmp_path: Path, coded: Path) -> Path:
    """`coded` with a byte of its second chunk of four changed."""
    return damaged_copy(coded, tmp_path / "hurt.ecdc", Fraction(3, 8))


def test_damage_without_conceal_fails_and_leaves_no_file(
    tmp_path: Path, mono: Path, damaged: Path
) -> None:
    result = run("decode", damaged, "-m", mono)
    result.refused(1, str(damaged), "chunk 1 at 1.07 s", "--conceal")
    assert [p.name for p in tmp_path.iterdir()] == ["hurt.ecdc"]


def test_conceal_keeps_the_timing_and_exits_1(
    tmp_path: Path, mono: Path, coded: Path, damaged: Path
) -> None:
    run("decode", coded, tmp_path / "whole.wav", "-m", mono).ok()
    result = run("decode", damaged, tmp_path / "c.wav", "-m", mono, "--conceal", "--json")
    assert (result.code, result.errors) == (1, [])
    [warning] = result.stderr.splitlines()
    assert "hurt.ecdc: chunk 1 at 1.07 s" in warning
    assert "silence in its place" in warning
    [damage] = json.loads(result.text)["damage"]
    assert damage.startswith("chunk 1 ")

    whole, concealed = (soundfile.read(tmp_path / n)[0] for n in ("whole.wav", "c.wav"))
    assert len(concealed) == len(whole)
    np.testing.assert_array_equal(concealed[: CHUNK - HOP], whole[: CHUNK - HOP])
    middle = slice(CHUNK + 20 * HOP, 2 * CHUNK - 20 * HOP)
    assert np.abs(concealed[middle]).std() < 0.1 * np.abs(whole[middle]).std()
    # The convolutions remember some frames of what came before, and nothing earlier.
    np.testing.assert_array_equal(concealed[2 * CHUNK + 20 * HOP :], whole[2 * CHUNK + 20 * HOP :])


def test_conceal_of_a_segment_model_keeps_the_timing(tmp_path: Path, stereo: Path) -> None:
    source = write_audio(tmp_path / "a.wav", 150_000, rate=48_000, channels=2)
    run("encode", source, "-m", stereo).ok()
    damaged_copy(tmp_path / "a.ecdc", tmp_path / "h.ecdc", Fraction(3, 8))
    run("decode", tmp_path / "a.ecdc", tmp_path / "whole.wav", "-m", stereo).ok()
    assert run("decode", tmp_path / "h.ecdc", "-m", stereo, "--conceal").code == 1
    whole, concealed = (soundfile.read(tmp_path / n)[0] for n in ("whole.wav", "h.wav"))
    assert concealed.shape == whole.shape
    np.testing.assert_array_equal(concealed[:47_520], whole[:47_520])
    assert not concealed[48_000:95_040].any()
    np.testing.assert_array_equal(concealed[95_520:], whole[95_520:])


def test_truncated_file_decodes_as_far_as_it_goes_with_conceal(
    tmp_path: Path, mono: Path, coded: Path
) -> None:
    short = tmp_path / "short.ecdc"
    short.write_bytes(coded.read_bytes()[: coded.stat().st_size * 5 // 8])
    run("decode", short, "-m", mono).refused(1, "short.ecdc: truncated", "--conceal")
    assert not (tmp_path / "short.wav").exists()
    result = run("decode", short, "-m", mono, "--conceal")
    assert (result.code, result.errors) == (1, [])
    assert "truncated" in result.stderr
    assert "the audio ends before it" in result.stderr
    run("decode", coded, tmp_path / "whole.wav", "-m", mono).ok()
    whole, rest = (soundfile.read(tmp_path / n)[0] for n in ("whole.wav", "short.wav"))
    assert len(rest) == 2 * CHUNK
    np.testing.assert_array_equal(rest[:-HOP], whole[: 2 * CHUNK - HOP])


def test_conceal_of_a_file_without_one_chunk_fails(tmp_path: Path, mono: Path, coded: Path) -> None:
    short = tmp_path / "short.ecdc"
    short.write_bytes(coded.read_bytes()[:300])
    run("decode", short, "-m", mono, "--conceal").refused(1, "nothing of the audio is left")
    assert [p.name for p in tmp_path.iterdir()] == ["short.ecdc"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"RIFF1234WAVEfmt ", "a WAV (RIFF) file; encode it first"),
        (b"ECDC", "truncated"),
        (b"hello world", "not an .ecdc file"),
    ],
)
def test_what_is_no_ecdc_file_is_named(
    tmp_path: Path, mono: Path, content: bytes, words: str
) -> None:
    source = tmp_path / "a.ecdc"
    source.write_bytes(content)
    run("decode", source, "-m", mono).refused(1, str(source), words)
    run("decode", source, "-m", mono, "--conceal").refused(1, str(source), words)


# Models


def test_a_file_of_another_model_is_refused_by_name(
    tmp_path: Path, coded: Path, stereo: Path
) -> None:
    result = run("decode", coded, tmp_path / "b.wav", "-m", stereo)
    result.refused(2, str(coded), "coded by model tiny24, not tiny48", "--model")
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_other_weights_is_refused_by_hash(tmp_path: Path, coded: Path) -> None:
    other = write_model(tmp_path / "other.safetensors", make_model(mono_config(), seed=1))
    result = run("decode", coded, tmp_path / "b.wav", "-m", other)
    result.refused(2, str(coded), "coded by other weights of tiny24", "SHA-256")
    assert not (tmp_path / "b.wav").exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere.safetensors", "no such file or bundled model"),
        ("ecli_24kh", "did you mean ecli_24khz?"),
        (".", "is a folder; name a checkpoint file inside it"),
    ],
)
def test_models_that_are_not_there(tmp_path: Path, name: str, words: str) -> None:
    source = write_audio(tmp_path / "a.wav", 1000)
    run("encode", source, "-m", name).refused(1, words)


def test_format_0_refuses_models_it_cannot_name(tmp_path: Path, mono: Path) -> None:
    source = write_audio(tmp_path / "a.wav", 1000)
    result = run("encode", source, "-m", mono, "--format", "v0")
    result.refused(2, "format 0 knows only encodec_24khz and encodec_48khz, not 'tiny24'")
    assert [p.name for p in tmp_path.iterdir()] == ["a.wav"]


@pytest.mark.slow
@pytest.mark.parametrize("conceal", [(), ("--conceal",)], ids=["", "conceal"])
def test_format_0_goes_there_and_back(tmp_path: Path, conceal: tuple[str, ...]) -> None:
    model = write_model(
        tmp_path / "meta.safetensors", make_model(mono_config(name="encodec_24khz"))
    )
    source = write_audio(tmp_path / "a.wav", 30_001)
    run("encode", source, "-m", model, "--format", "v0").ok()
    header = read_ecdc(tmp_path / "a.ecdc").header
    assert (header.version, header.num_samples) == (0, 30_001)
    run("decode", tmp_path / "a.ecdc", tmp_path / "b.wav", "-m", model, *conceal).ok()
    assert soundfile.info(tmp_path / "b.wav").frames == 30_001
    result = run("decode", tmp_path / "a.ecdc", "-m", model, "--sample-rate", "source", "-f")
    result.refused(2, "does not say what its source's rate was; give --sample-rate in Hz")


# Pipes


def test_pipes_carry_the_same_bytes_as_files(tmp_path: Path, mono: Path) -> None:
    source = write_audio(tmp_path / "a.wav", 60_000, rate=44_100)
    run("encode", source, "-m", mono).ok()
    run("decode", tmp_path / "a.ecdc", tmp_path / "b.wav", "-m", mono).ok()

    packed = run("encode", "-", "-m", mono, stdin=source.read_bytes()).ok()
    assert packed.stdout == (tmp_path / "a.ecdc").read_bytes()
    assert "stdin -> stdout" in packed.stderr
    unpacked = run("decode", "-", "-", "-m", mono, stdin=packed.stdout).ok()
    assert "stdin -> stdout" in unpacked.stderr
    with wave.open(str(tmp_path / "b.wav")) as file:
        samples = file.readframes(file.getnframes())
    assert unpacked.stdout.endswith(samples)
    assert len(unpacked.stdout) - len(samples) < 100

    run("decode", "-", tmp_path / "c.wav", "-m", mono, stdin=packed.stdout).ok()
    assert (tmp_path / "c.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()
    run("encode", "-", tmp_path / "c.ecdc", "-m", mono, stdin=source.read_bytes()).ok()
    assert (tmp_path / "c.ecdc").read_bytes() == packed.stdout


def test_decoded_pipe_is_read_by_others(mono: Path, coded: Path) -> None:
    result = run("decode", coded, "-", "-m", mono, "-q").ok()
    samples, rate = soundfile.read(io.BytesIO(result.stdout), dtype="int16")
    assert (len(samples), rate) == (84_000, RATE)


@pytest.mark.parametrize("text", ["encode", "decode", "peel"])
def test_terminals_get_no_binary(text: str, tmp_path: Path, mono: Path, coded: Path) -> None:
    source = write_audio(tmp_path / "a.wav", 1000) if text == "encode" else coded
    more = ("--n-q", "2") if text == "peel" else ("-m", mono)
    result = run(text, source, "-", *more, terminal=("stdout",))
    result.refused(1, "stdout: is a terminal; pipe or redirect it, or name a file")


@pytest.mark.parametrize("text", ["encode", "decode", "peel", "info"])
def test_terminals_are_not_read(text: str, tmp_path: Path, mono: Path) -> None:
    more: dict[str, tuple[str | Path, ...]] = {
        "peel": (tmp_path / "x", "--n-q", "2"),
        "info": (),
    }
    result = run(
        text,
        "-",
        *more.get(text, (tmp_path / "x.wav.ecdc", "-m", mono))
        if text != "decode"
        else (tmp_path / "x.wav", "-m", mono),
        terminal=("stdin",),
    )
    result.refused(1, "stdin: is a terminal")


def test_standard_input_must_hold_something(tmp_path: Path, mono: Path) -> None:
    run("encode", "-", tmp_path / "a.ecdc", "-m", mono).refused(1, "stdin: is empty")
    run("decode", "-", tmp_path / "a.wav", "-m", mono).refused(1, "stdin: the file is empty")
    assert list(tmp_path.iterdir()) == []


# Help


def test_help_names_every_command() -> None:
    result = run("--help").ok()
    assert result.stderr == ""
    for name in ("encode", "decode", "roundtrip", "peel", "info", "verify", "train", "models"):
        assert re.search(rf"\b{name}\b", result.text)
    assert run().code == 2


def test_version() -> None:
    from encodec_cli import __version__

    assert run("--version").ok().text == f"encodec-cli {__version__}\n"
