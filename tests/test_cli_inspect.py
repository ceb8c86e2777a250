"""`info`, `verify`, `peel`, `models`: what tells about files and models."""

import hashlib
import json
import re
from fractions import Fraction
from pathlib import Path

import pytest
import soundfile
from cli_samples import (
    RATE,
    damaged_copy,
    make_model,
    run,
    stereo_config,
    write_audio,
    write_model,
)
from safetensors.torch import load_file, save_file

from encodec_cli.container import read_ecdc


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory, mono: Path) -> Path:
    """Two seconds in 8 codebooks, two chunks, from 16 kHz stereo."""
    folder = tmp_path_factory.mktemp("coded")
    source = write_audio(folder / "speech.wav", 32_000, rate=16_000, channels=2)
    run("encode", source, "-m", mono).ok()
    return folder / "speech.ecdc"


@pytest.fixture
def hurt(tmp_path: Path, coded: Path) -> Path:
    return damaged_copy(coded, tmp_path / "hurt.ecdc", Fraction(3, 4))


# info


def test_info_json_is_complete(coded: Path, mono: Path) -> None:
    result = run("info", coded, "--json").ok()
    assert result.stderr == ""
    size = coded.stat().st_size
    assert json.loads(result.text) == {
        "source": str(coded),
        "version": 2,
        "model": "tiny24",
        "model_sha256": hashlib.sha256(mono.read_bytes()).hexdigest()[:16],
        "code_model": None,
        "sample_rate": RATE,
        "channels": 1,
        "hop": 320,
        "codebooks": 8,
        "bits": 10,
        "chunk_frames": 80,
        "segment": None,
        "stride": None,
        "end_padding": 0,
        "has_scale": False,
        "source_sample_rate": 16_000,
        "source_channels": 2,
        "num_samples": 48_000,
        "source_num_samples": 32_000,
        "tags": {},
        "keep_source": False,
        "lm": False,
        "bytes": size,
        "seconds": 2.0,
        "frames": 150,
        "chunks": 2,
        "coded_chunks": 0,
        "nominal_kbps": 6.0,
        "payload_kbps": 6.016,  # two bytes a chunk
        "kbps": size * 8 / 2000,
        "damaged_chunks": [],
        "problems": [],
        "warnings": [],
    }


def test_info_table_is_one_fact_a_line_however_long(coded: Path) -> None:
    result = run("info", coded, environment={"COLUMNS": "40"}).ok()
    lines = [line.strip() for line in result.text.splitlines()]
    assert lines[0] == str(coded)
    facts = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in lines[1:])
    assert facts["source"] == "16000 Hz, stereo, 32,000 samples"
    assert facts["length"] == "2.000 s, 48,000 samples"
    assert facts["codes"] == "8 codebooks of 10 bits, 75 frames/s, 150 frames"
    assert facts["state"] == "intact"


def test_info_reads_a_pipe(coded: Path) -> None:
    report = json.loads(run("info", "-", "--json", stdin=coded.read_bytes()).ok().text)
    assert (report["source"], report["num_samples"]) == ("-", 48_000)
    assert report["bytes"] == coded.stat().st_size


def test_info_of_damage_says_where_and_exits_1(hurt: Path) -> None:
    result = run("info", hurt, "--json")
    assert result.code == 1
    [error] = result.errors
    report = json.loads(result.text)
    assert report["damaged_chunks"] == [1]
    [problem] = report["problems"]
    assert error == f"encodec-cli: error: {hurt}: {problem}"
    assert "1 problem\n" in re.sub(" +\n", "\n", run("info", hurt).text)


@pytest.mark.parametrize("name", ["info", "verify", "peel", "decode"])
def test_inputs_that_are_not_there(tmp_path: Path, mono: Path, name: str) -> None:
    more = {"peel": (tmp_path / "o.wav", "--n-q", "2"), "decode": ("-m", mono)}.get(name, ())
    for source, words in ((tmp_path / "gone.ecdc", "no such file"), (tmp_path, "is a folder")):
        result = run(name, source, *more)
        assert result.code == (2 if source == tmp_path else 1)
        [error] = result.errors
        assert str(source) in error
        assert words in error
        assert error.count(str(source)) == 1


# verify


def test_verify_judges_each_file(tmp_path: Path, coded: Path, hurt: Path) -> None:
    gone = tmp_path / "gone.ecdc"
    result = run("verify", coded, hurt, gone, coded)
    assert result.code == 1
    assert result.text.splitlines() == [
        f"{coded}: ok",
        f"{hurt}: damaged",
        f"{gone}: unreadable",
        f"{coded}: ok",
    ]
    assert [str(hurt) in result.errors[0], str(gone) in result.errors[1]] == [True, True]
    quiet = run("verify", coded, hurt, "-q")
    assert (quiet.code, quiet.stdout, len(quiet.errors)) == (1, b"", 1)
    assert run("verify", "-", stdin=coded.read_bytes()).ok().text == "-: ok\n"


# peel


def test_peel_equals_encoding_with_fewer(tmp_path: Path, mono: Path, coded: Path) -> None:
    source = coded.with_suffix(".wav")
    run("encode", source, tmp_path / "direct.ecdc", "-m", mono, "--n-q", "2").ok()
    result = run("peel", coded, tmp_path / "peeled.ecdc", "-b", "1.5").ok()
    assert (result.stdout, len(result.stderr.splitlines())) == (b"", 1)
    assert "2 codebooks, 1.5 kb/s" in result.stderr
    assert (tmp_path / "peeled.ecdc").read_bytes() == (tmp_path / "direct.ecdc").read_bytes()
    piped = run("peel", "-", "-", "--n-q", "2", "-q", stdin=coded.read_bytes()).ok()
    assert piped.stdout == (tmp_path / "direct.ecdc").read_bytes()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "give --bandwidth or --n-q"),
        (("-b", "3", "--n-q", "2"), "give --bandwidth or --n-q"),
        (("--n-q", "0"), "holds 8 codebooks (6 kb/s), not 0; ask for 1 to 8"),
        (("--n-q", "9"), "holds 8 codebooks (6 kb/s), not 9; ask for 1 to 8"),
        (("-b", "12"), "holds 8 codebooks (6 kb/s), not 16; ask for 1 to 8"),
        (("-b", "0.5"), "one codebook takes 0.75 kb/s"),
        (("-b", "0"), "give a number above 0"),
        (("-b", "-1"), "give a number above 0"),
        (("-b", "nan"), "give a number above 0"),
        (("-b", "inf"), "give a number above 0"),
    ],
)
def test_peel_refuses(tmp_path: Path, coded: Path, options: tuple[str, ...], words: str) -> None:
    run("peel", coded, tmp_path / "p.ecdc", *options).refused(2, words)
    assert list(tmp_path.iterdir()) == []


def test_peel_refuses_damage(tmp_path: Path, hurt: Path) -> None:
    run("peel", hurt, tmp_path / "p.ecdc", "--n-q", "2").refused(1, str(hurt), "chunk 1")
    assert [p.name for p in tmp_path.iterdir()] == ["hurt.ecdc"]


def test_peel_in_place_with_force(tmp_path: Path, coded: Path) -> None:
    path = tmp_path / "a.ecdc"
    path.write_bytes(coded.read_bytes())
    run("peel", path, path, "--n-q", "3").refused(1, "exists already")
    run("peel", path, path, "--n-q", "3", "--force").ok()
    assert read_ecdc(path).header.codebooks == 3


# models


def test_models_list_names_what_is_bundled(
    tmp_path: Path, mono: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("encodec_cli.checkpoints.card.checkpoints_folder", lambda: tmp_path)
    (tmp_path / "ecli_24khz.safetensors").write_bytes(mono.read_bytes())
    write_model(tmp_path / "tiny48.safetensors", make_model(stereo_config()))
    text = run("models", "list").ok().text
    assert "48000 Hz" in text
    assert "1.5, 6" in text
    reports = [json.loads(x) for x in run("models", "list", "--json").ok().text.splitlines()]
    bundled = [r for r in reports if r["state"] == "bundled"]
    assert [(r["name"], r["sample_rate"], r["channels"]) for r in bundled] == [
        ("tiny24", 24_000, 1),
        ("tiny48", 48_000, 2),
    ]


def test_models_list_without_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("encodec_cli.checkpoints.card.checkpoints_folder", lambda: tmp_path)
    assert '"bundled"' not in run("models", "list", "--json").ok().text
    source = write_audio(tmp_path / "a.wav", 100)
    run("encode", source).refused(1, "ecli_24khz")


def test_models_show_json(mono: Path) -> None:
    report = json.loads(run("models", "show", mono, "--json").ok().text)
    numbers = sum(t.numel() for t in load_file(mono).values())
    assert report == {
        "name": "tiny24",
        "path": str(mono),
        "sha256": hashlib.sha256(mono.read_bytes()).hexdigest(),
        "bytes": mono.stat().st_size,
        "parameters": numbers,
        "dtype": "F32",
        "sample_rate": RATE,
        "channels": 1,
        "frame_rate": 75.0,
        "codebooks": 8,
        "bins": 1024,
        "bandwidths": [1.5, 6.0],
        "causal": True,
        "level_db": None,
        "segment_seconds": None,
        "lstm_layers": 0,
        "latency_ms": 13.333,
        "block_ms": 1066.667,
        "encoder_lookahead_ms": 0.0,
        "decoder_lookahead_ms": 0.0,
        "decoder_history_ms": 106.667,
        "licence": "MIT",
        "training_data": "none",
        "metrics": {},
        "code_model": None,
        "assumed": None,
    }
    text = run("models", "show", mono).ok().text
    assert report["sha256"] in text
    assert "24000 Hz, mono" in text
    assert "1.5, 6 kb/s" in text
    assert "107 ms before --start" in text
    assert "13.3 ms at least (one frame); 1067 ms unless --latency says less" in text


def test_metadata_cannot_talk_to_the_terminal_or_break_json(tmp_path: Path, mono: Path) -> None:
    import struct

    data = mono.read_bytes()
    [length] = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"] |= {
        "licence": "\x1b[2J[bold]none\nof :smile: yours",
        "metrics": '{"steps": NaN, "best": Infinity}',
    }
    changed = json.dumps(header).encode()
    path = tmp_path / "m.safetensors"
    path.write_bytes(struct.pack("<Q", len(changed)) + changed + data[8 + length :])
    text = run("models", "show", path).ok().text
    assert "\x1b" not in text
    assert "[bold]none\\nof :smile: yours" in text
    report = json.loads(run("models", "show", path, "--json").ok().text)
    assert report["metrics"] == {"steps": None, "best": None}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"\x08\0\0\0\0\0\0\0{}      ", "not a model of encodec-cli"),
        (b"hello", "neither a file of torch.save nor of safetensors"),
        (b"PK\x03\x04 hello", "m.bin"),
    ],
)
def test_files_that_are_no_model(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "m.bin"
    path.write_bytes(content)
    for arguments in (("models", "show", path), ("decode", "x.ecdc", "-m", path)):
        run(*arguments).refused(1, str(path), words)


def test_convert_to_half_keeps_the_identity(tmp_path: Path, mono: Path, coded: Path) -> None:
    target = tmp_path / "half.safetensors"
    result = run("models", "convert", mono, target, "--half", "--licence", "CC0").ok()
    assert result.stdout == b""
    assert f"{mono} -> {target}: tiny24" in result.stderr
    report = json.loads(run("models", "show", target, "--json").ok().text)
    assert (report["dtype"], report["licence"]) == ("F16", "CC0")
    assert report["sha256"] == hashlib.sha256(mono.read_bytes()).hexdigest()
    assert target.stat().st_size < 0.6 * mono.stat().st_size
    run("decode", coded, tmp_path / "b.wav", "-m", target).ok()
    assert soundfile.info(tmp_path / "b.wav").frames == 48_000


def test_convert_refuses(tmp_path: Path, mono: Path) -> None:
    run("models", "convert", mono, tmp_path / "x.pt").refused(2, "end in .safetensors")
    target = tmp_path / "x.safetensors"
    target.write_bytes(b"old")
    run("models", "convert", mono, target).refused(1, "use --force")
    assert target.read_bytes() == b"old"
    run("models", "convert", mono, target, "-f").ok()
    converted = target.read_bytes()
    foreign = tmp_path / "foreign.safetensors"
    bias = load_file(mono)["decoder.model.0.conv.conv.bias"]
    save_file({"layers.0.bias": bias}, foreign)
    run("models", "convert", foreign, target, "-f").refused(1, "not a model of encodec-cli")
    assert target.read_bytes() == converted
