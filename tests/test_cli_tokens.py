"""`tokens`, and `decode` of token files: recordings to each format and back, many, refusals."""

import fcntl
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
import warnings
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
import soundfile
from cli_samples import (
    HOP,
    PATIENCE_SECONDS,
    command,
    environment,
    make_model,
    mono_config,
    process,
    run,
    shell,
    write_audio,
    write_model,
)
from safetensors import safe_open

from encodec_cli.container import read_ecdc

FORMATS = ("npz", "safetensors", "parquet", "webdataset")
SHARDED = ("parquet", "webdataset")
SUFFIX = {f: f".{f}" for f in FORMATS} | {"webdataset": ".tar"}


@pytest.fixture(scope="module")
def talks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three recordings, one of them in a folder of its own, another at 16 kHz."""
    folder = tmp_path_factory.mktemp("talks")
    (folder / "day 1").mkdir()
    write_audio(folder / "a.v2.wav", 30_001)
    write_audio(folder / "day 1" / "b.flac", 9000, rate=16_000, channels=2)
    write_audio(folder / "c.wav", 700)
    return folder


@pytest.fixture(scope="module")
def decoded_by_hand(
    tmp_path_factory: pytest.TempPathFactory, talks: Path, mono: Path, stereo: Path
) -> dict[str, dict[str, bytes]]:
    """What `encode` and `decode` make of the recordings: model, key, bytes of WAV."""
    results = {}
    for name, model in {"mono": mono, "stereo": stereo}.items():
        folder = tmp_path_factory.mktemp(name)
        run("encode", talks, "-o", folder / "ecdc", "-r", "-m", model, "--n-q", "3").ok()
        options = ("-r", "-m", model, "--sample-rate", "source")
        run("decode", folder / "ecdc", "-o", folder / "wav", *options).ok()
        results[name] = wavs(folder / "wav")
    return results


def wavs(folder: Path) -> dict[str, bytes]:
    found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.wav")}
    return {name.removesuffix(".wav").replace(".", "_"): data for name, data in found.items()}


def files(folder: Path) -> list[str]:
    found = (p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    return sorted(p.as_posix() for p in found if not p.parts[0].startswith("."))


@pytest.mark.slow
@pytest.mark.parametrize("model_name", ["mono", "stereo"])
@pytest.mark.parametrize("to", FORMATS)
def test_a_folder_of_recordings_to_tokens_and_back_is_encode_and_decode(
    to: str,
    model_name: str,
    talks: Path,
    tmp_path: Path,
    decoded_by_hand: dict[str, dict[str, bytes]],
    request: pytest.FixtureRequest,
) -> None:
    model = request.getfixturevalue(model_name)
    expected = decoded_by_hand[model_name]
    common = ("-r", "-m", model)
    run("tokens", talks, "--to", to, "-o", tmp_path / "tok", *common, "--n-q", "3").ok()
    restored = (*common, "--sample-rate", "source")
    run("decode", tmp_path / "tok", "-o", tmp_path / "back", *restored).ok()
    assert len(expected) == 3
    assert wavs(tmp_path / "back") == expected


@pytest.mark.slow
@pytest.mark.parametrize("to", ["npz", "parquet"])
def test_tokens_of_ecdc_are_those_of_its_audio(
    to: str, talks: Path, mono: Path, tmp_path: Path
) -> None:
    run("encode", talks, "-o", tmp_path / "ecdc", "-r", "-m", mono, "--n-q", "5").ok()
    run("tokens", tmp_path / "ecdc", "--to", to, "-o", tmp_path / "x", "-r", "--n-q", "2").ok()
    run("tokens", talks, "--to", to, "-o", tmp_path / "y", "-r", "-m", mono, "--n-q", "2").ok()
    assert files(tmp_path / "x") == files(tmp_path / "y")
    for folder in ("x", "y"):
        run("decode", tmp_path / folder, "-o", tmp_path / f"{folder}w", "-r", "-m", mono).ok()
    assert len(wavs(tmp_path / "xw")) == 3
    assert wavs(tmp_path / "xw") == wavs(tmp_path / "yw")


@pytest.mark.slow
def test_ecdc_to_tokens_needs_neither_torch_nor_a_model(
    talks: Path, mono: Path, tmp_path: Path
) -> None:
    run("encode", talks / "c.wav", tmp_path / "c.ecdc", "-m", mono).ok()
    code = f"""
import sys
from encodec_cli.cli.app import app
for to in {FORMATS}:
    arguments = ["tokens", "c.ecdc", "--to", to, "-o", to, "-m", "no such model"]
    try: app(arguments, prog_name="encodec-cli")
    except SystemExit as left: assert not left.code
assert "torch" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert all(files(tmp_path / to) for to in FORMATS)


# What other programs see


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory, mono: Path) -> Path:
    """A second and a half in 8 codebooks."""
    folder = tmp_path_factory.mktemp("coded")
    run("encode", write_audio(folder / "a.wav", 36_000), "-m", mono).ok()
    return folder / "a.ecdc"


def tokens_of(coded: Path, to: str, folder: Path) -> Path:
    run("tokens", coded, "--to", to, "-o", folder).ok()
    [path] = folder.glob(f"*{SUFFIX[to]}")
    return path


def expected_metadata(coded: Path) -> dict[str, str | int | float]:
    sha256 = read_ecdc(coded).header.model_sha256
    assert sha256 is not None
    numbers = {"n_q": 8, "sample_rate": 24_000, "channels": 1, "hop": HOP, "bits": 10}
    lengths = {"num_samples": 36_000, "source_num_samples": 36_000}
    source = {"source": "a.ecdc", "source_sample_rate": 24_000, "source_channels": 1}
    model = {"model": "tiny24", "model_sha256": sha256, "frame_rate": 75.0}
    return {**numbers, **lengths, **source, **model}


def test_numpy_reads_npz(coded: Path, tmp_path: Path) -> None:
    with np.load(tokens_of(coded, "npz", tmp_path), allow_pickle=False) as arrays:
        codes = arrays["codes"]
        rest = {name: arrays[name].item() for name in arrays.files if name != "codes"}
    assert codes.dtype == np.uint16
    np.testing.assert_array_equal(codes, read_ecdc(coded).codes)
    assert rest == expected_metadata(coded)


def test_safetensors_reads_safetensors(coded: Path, tmp_path: Path) -> None:
    with safe_open(tokens_of(coded, "safetensors", tmp_path), framework="numpy") as file:
        codes, metadata = file.get_tensor("codes"), file.metadata()
    np.testing.assert_array_equal(codes, read_ecdc(coded).codes)
    assert metadata == {name: str(value) for name, value in expected_metadata(coded).items()}


def test_pyarrow_reads_parquet(coded: Path, tmp_path: Path) -> None:
    path = tokens_of(coded, "parquet", tmp_path)
    assert path.name == "tokens-00000.parquet"
    [row] = pyarrow.parquet.read_table(path).to_pylist()
    assert row.pop("codes") == read_ecdc(coded).codes.tolist()
    assert {name: value for name, value in row.items() if value is not None} == {
        "key": "a",
        **expected_metadata(coded),
    }


def test_webdataset_reads_webdataset(coded: Path, tmp_path: Path) -> None:
    path = tokens_of(coded, "webdataset", tmp_path)
    assert path.name == "tokens-00000.tar"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package's own
        import webdataset

        [sample] = list(webdataset.WebDataset(str(path), shardshuffle=False).decode())
    np.testing.assert_array_equal(sample["codes.npy"], read_ecdc(coded).codes)
    assert (sample["__key__"], sample["json"]) == ("a", expected_metadata(coded))


@pytest.mark.parametrize("to", FORMATS)
def test_the_same_input_gives_the_same_bytes(to: str, coded: Path, tmp_path: Path) -> None:
    first, second = (tokens_of(coded, to, tmp_path / name).read_bytes() for name in "ab")
    assert first == second


# What language models write


def test_codes_alone_are_enough(coded: Path, mono: Path, tmp_path: Path) -> None:
    codes = read_ecdc(coded).codes.astype(np.int64)
    np.savez(tmp_path / "lm.npz", codes=codes)
    run("decode", tmp_path / "lm.npz", "-m", mono).ok()
    run("decode", coded, tmp_path / "whole.wav", "-m", mono).ok()
    data, _ = soundfile.read(tmp_path / "lm.wav", dtype="int16")
    whole, _ = soundfile.read(tmp_path / "whole.wav", dtype="int16")
    assert len(data) == HOP * codes.shape[1] > len(whole) == 36_000
    np.testing.assert_array_equal(data[: len(whole)], whole)


@pytest.mark.parametrize("special", [-1, 1024])
@pytest.mark.parametrize("start", [0, 1])
def test_the_delay_pattern_is_undone(
    special: int, start: int, coded: Path, mono: Path, tmp_path: Path
) -> None:
    codes = read_ecdc(coded).codes
    delayed = np.full((8, start + codes.shape[1] + 7), special, np.int32)
    for k, row in enumerate(codes):
        delayed[k, start + k : start + k + len(row)] = row
    np.savez(tmp_path / "delayed.npz", codes=delayed)
    np.savez(tmp_path / "plain.npz", codes=codes)
    run("decode", tmp_path / "delayed.npz", "-m", mono, "--pattern", "delay").ok()
    run("decode", tmp_path / "plain.npz", "-m", mono).ok()
    assert (tmp_path / "delayed.wav").read_bytes() == (tmp_path / "plain.wav").read_bytes()
    result = run("decode", tmp_path / "delayed.npz", "-m", mono, "-f")
    result.refused(1, "delayed.npz: code", "--pattern delay")
    result = run("decode", tmp_path / "plain.npz", "-m", mono, "-f", "--pattern", "delay")
    result.refused(1, "plain.npz: not a delay pattern: codebook 1, column 0")


def test_pattern_is_for_token_files(coded: Path, tmp_path: Path) -> None:
    result = run("decode", coded, tmp_path / "a.wav", "--pattern", "delay")
    result.refused(2, "--pattern: is for token files")


# Many inputs


@pytest.mark.parametrize("to", ["npz", "webdataset"])
def test_one_bad_input_does_not_stop_the_rest(
    to: str, talks: Path, mono: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.wav").write_bytes(b"RIFF nothing")
    (tmp_path / "bad2.ecdc").write_bytes(b"ECDC\x01")
    inputs = [tmp_path / "bad.wav", talks / "c.wav", tmp_path / "bad2.ecdc", talks / "a.v2.wav"]
    out = tmp_path / "out"
    result = run("tokens", *inputs, "--to", to, "-o", out, "-m", mono)
    assert result.code == 1
    assert len(result.errors) == 2
    assert "bad.wav: " in result.errors[0]
    assert "bad2.ecdc: " in result.errors[1]
    run("decode", out, "-r", "-o", tmp_path / "back", "-m", mono).ok()
    assert sorted(wavs(tmp_path / "back")) == ["a_v2", "c"]


@pytest.mark.parametrize("to", SHARDED)
def test_shards_have_the_size_asked_for(to: str, coded: Path, tmp_path: Path) -> None:
    """8 codebooks of 113 frames are 1808 bytes; a shard closes with the item that reaches 3 kB."""
    for name in "abcde":
        (tmp_path / f"{name}.ecdc").write_bytes(coded.read_bytes())
    inputs = sorted(tmp_path.glob("*.ecdc"))
    out = tmp_path / "out"
    result = run("tokens", *inputs, "--to", to, "-o", out, "--shard-size", "0.003", "--json").ok()
    assert files(out) == ["README.md", *(f"tokens-0000{i}{SUFFIX[to]}" for i in range(3))]
    *lines, last = [json.loads(line) for line in result.text.splitlines()]
    assert last.keys() == {"summary"}
    assert last["summary"]["done"] == 5
    assert keys_in(out) == list("abcde")
    assert [(line["number"], line["items"]) for line in lines] == [(0, 2), (1, 2), (2, 1)]
    assert lines[0].pop("elapsed_seconds") >= 0
    assert lines[0] == {
        "number": 0,
        "files": [f"tokens-00000{SUFFIX[to]}"],
        "items": 2,
        "seconds": 3.0,
        "frames": 226,
        "failures": 0,
    }


def keys_in(folder: Path) -> list[str]:
    """Keys of all shards, read without our readers."""
    keys: list[str] = []
    for path in sorted(folder.glob("tokens-*")):
        if path.suffix == ".parquet":
            keys += pyarrow.parquet.read_table(path).column("key").to_pylist()
        else:
            with tarfile.open(path) as tar:
                keys += [n.split(".")[0] for n in tar.getnames() if n.endswith(".json")]
    return keys


@pytest.mark.slow
@pytest.mark.parametrize("to", SHARDED)
def test_a_killed_run_goes_on_without_redoing_finished_shards(
    to: str, talks: Path, mono: Path, tmp_path: Path
) -> None:
    sources = [write_audio(tmp_path / f"{i:02d}.wav", 12_000) for i in range(24)]
    out = tmp_path / "out"
    options = ("--to", to, "-o", out, "-m", mono, "--shard-size", "0.001", "--threads", "1")
    with process("tokens", *sources, *options) as child:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (out / f"tokens-00003{SUFFIX[to]}").exists():
            assert child.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.002)
        child.send_signal(signal.SIGKILL)
        child.wait()
    done = {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in out.glob("tokens-*")}
    kept = keys_in(out)
    assert 4 <= len(kept) < 24
    assert run("tokens", *sources, *options).refused(1, "--skip-existing")
    result = run("tokens", *sources, *options, "--skip-existing").ok()
    assert f"{len(kept)} of 24 inputs are in shards, skipped" in result.stderr
    assert f"24 files: {24 - len(kept)} done, {len(kept)} skipped" in result.stderr
    for name, (data, stamp) in done.items():
        assert (out / name).read_bytes() == data
        assert (out / name).stat().st_mtime_ns == stamp
    assert sorted(keys_in(out)) == [f"{i:02d}" for i in range(24)]
    assert list(out.rglob(".*.partial")) == []
    again = run("tokens", *sources, *options, "--skip-existing").ok()
    assert "24 of 24 inputs are in shards, skipped" in again.stderr
    assert sorted(keys_in(out)) == [f"{i:02d}" for i in range(24)]


def test_skip_existing_of_single_files(talks: Path, mono: Path, tmp_path: Path) -> None:
    options = ("--to", "npz", "-o", tmp_path, "-m", mono)
    run("tokens", talks / "c.wav", *options).ok()
    run("tokens", talks / "c.wav", *options).refused(1, "exists already")
    result = run("tokens", talks / "c.wav", *options, "--skip-existing").ok()
    assert "c.npz: exists, skipped" in result.stderr
    run("tokens", talks / "c.wav", *options, "--force").ok()


@pytest.mark.slow
def test_a_full_disk_ends_the_run(coded: Path, tmp_path: Path) -> None:
    """A limit on file sizes stands for the disk."""
    out = tmp_path / "out"
    line = " ".join(command("tokens", coded, "--to", "webdataset", "-o", out))
    done = shell(f"ulimit -f 2; trap '' XFSZ; {line}")
    assert done.returncode == 1
    assert b"cannot write: File too large" in done.stderr
    assert b"Traceback" not in done.stderr
    assert files(out) == []


# Refusals


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--to", "npz", "--shard-size", "5"], 2, "--shard-size: is for --to parquet"),
        (["--to", "parquet", "--shard-size", "0"], 2, "give MB above 0"),
        (["--to", "parquet", "--shard-size", "nan"], 2, "give MB above 0"),
        (["--to", "parquet", "--force"], 2, "shards are never overwritten"),
        (["--to", "npz", "--force", "--skip-existing"], 2, "not both"),
        (["--to", "npz", "-b", "3", "--n-q", "2"], 2, "not both"),
        (["--to", "npz", "--n-q", "9"], 2, "a.ecdc: holds 8 codebooks (6 kb/s), not 9"),
        (["--to", "npz", "-b", "0.1"], 2, "a.ecdc: bandwidth 0.1 kb/s"),
    ],
)
def test_contradictions_are_usage_errors(
    arguments: list[str], code: int, words: str, coded: Path, tmp_path: Path
) -> None:
    run("tokens", coded, "-o", tmp_path / "o", *arguments).refused(code, words)
    assert not (tmp_path / "o").exists() or files(tmp_path / "o") == []


def test_a_missing_pyarrow_says_what_to_install(
    coded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for arguments in (
        ("tokens", coded, "--to", "parquet", "-o", tmp_path / "o"),
        ("decode", tmp_path / "x.parquet", "-o", tmp_path),
    ):
        (tmp_path / "x.parquet").write_bytes(b"PAR1")
        result = run(*arguments)
        assert result.code in (1, 2)
        assert "run: pip install pyarrow" in result.errors[0]
        assert len(result.errors) == 1


def test_names_that_would_be_one_key(coded: Path, tmp_path: Path) -> None:
    for name in ("a.b.ecdc", "a_b.ecdc"):
        (tmp_path / name).write_bytes(coded.read_bytes())
    run("tokens", tmp_path, "-r", "--to", "npz", "-o", tmp_path / "o").ok()
    assert files(tmp_path / "o") == ["a_b-2.npz", "a_b.npz"]


def test_two_runs_do_not_write_into_one_folder(coded: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    out.mkdir()
    descriptor = os.open(out, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        result = run("tokens", coded, "--to", "webdataset", "-o", out)
        result.refused(1, "another run writes shards here")
    finally:
        os.close(descriptor)
    run("tokens", coded, "--to", "webdataset", "-o", out).ok()


def test_a_shard_needs_a_folder_to_decode_into(coded: Path, tmp_path: Path, mono: Path) -> None:
    path = tokens_of(coded, "webdataset", tmp_path / "t")
    run("decode", path, "-m", mono).refused(2, "holds many items; name a folder with --output-dir")


def test_another_models_tokens_are_refused(
    coded: Path, tmp_path: Path, mono: Path, stereo: Path
) -> None:
    path = tokens_of(coded, "npz", tmp_path / "t")
    result = run("decode", path, "-m", stereo)
    result.refused(2, "a.npz: coded by model tiny24, not tiny48; name it with --model")
    other = write_model(tmp_path / "other.safetensors", make_model(mono_config(), seed=9))
    result = run("decode", path, "-m", other)
    result.refused(2, "a.npz: coded by other weights of tiny24")


def test_a_bad_row_does_not_stop_the_rest(coded: Path, tmp_path: Path, mono: Path) -> None:
    """Keys that would leave the folder, missing codes, codes out of range, a key twice."""
    good = np.zeros((2, 12), np.uint16)
    path = tmp_path / "s.tar"
    with tarfile.open(path, "w") as tar:

        def add(name: str, data: bytes) -> None:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))

        def add_codes(key: str, codes: np.ndarray) -> None:
            file = io.BytesIO()
            np.save(file, codes)
            add(f"{key}.codes.npy", file.getvalue())

        add_codes("../../escape", good)
        add_codes("/etc/absolute", good)
        add("lonely.json", b"{}")
        add_codes("first", good)
        add_codes("large", good + 60_000)
        add_codes("object", np.array([[{}]]))
        add_codes("words", np.array([["x"]]))
        add_codes("first2", good)
        add("first2.json", b"[1]")
        add_codes("nq", good)
        add("nq.json", b'{"n_q": 3}')
        add_codes("last", good)
        add_codes("first", good)
    out = tmp_path / "out"
    result = run("decode", path, "-o", out, "-m", mono)
    assert result.code == 1
    assert len(result.errors) == 9
    for error, words in zip(
        result.errors,
        [
            "not a plain relative path",
            "not a plain relative path",
            "lonely: has no codes.npy",
            "large: code 60000",
            "object: codes",
            "words: codes",
            "first2: json: not an object",
            "nq: n_q",
            "first: the key occurs twice",
        ],
        strict=True,
    ):
        assert "s.tar: " in error
        assert words in error
    assert files(tmp_path) == ["out/first.wav", "out/last.wav", "s.tar"]


def test_decode_of_shards_goes_on(coded: Path, tmp_path: Path, mono: Path) -> None:
    path = tokens_of(coded, "parquet", tmp_path / "t")
    out = tmp_path / "out"
    run("decode", path, "-o", out, "-m", mono).ok()
    result = run("decode", path, "-o", out, "-m", mono)
    assert result.code == 1
    assert "a.wav: exists already" in result.errors[0]
    result = run("decode", path, "-o", out, "-m", mono, "--skip-existing").ok()
    assert "a.wav: exists, skipped" in result.stderr


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:enable_nested_tensor:UserWarning")
def test_codes_of_metas_language_model_are_read_with_it(tmp_path: Path) -> None:
    from meta_models import import_meta, meta_model, save_state

    make_lm = import_meta().model.LMModel
    model = save_state(meta_model("encodec_48khz"), tmp_path / "codec.th")
    lm = save_state(make_lm(16, 1024, num_layers=1, dim=200), tmp_path / "lm.th")
    audio = write_audio(tmp_path / "a.wav", 4000, rate=48_000)
    common = ("-m", model, "--n-q", "2")
    run("encode", audio, tmp_path / "raw.ecdc", *common, "--format", "v0").ok()
    run("encode", audio, tmp_path / "lm.ecdc", *common, "--format", "v0", "--lm", lm).ok()
    run("tokens", tmp_path / "lm.ecdc", "--to", "npz", "-o", tmp_path).refused(1, "--lm")
    for name in ("raw", "lm"):
        options = ("--to", "npz", "-o", tmp_path, "-m", model, "--lm", lm)
        run("tokens", tmp_path / f"{name}.ecdc", *options).ok()
    with np.load(tmp_path / "raw.npz") as raw, np.load(tmp_path / "lm.npz") as coded:
        np.testing.assert_array_equal(raw["codes"], coded["codes"])
        np.testing.assert_array_equal(raw["scales"], coded["scales"])
