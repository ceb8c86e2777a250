"""`--device` with several names: a process for each, and the files that one process makes."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cli_samples import (
    command,
    environment,
    make_model,
    mono_config,
    run,
    write_audio,
    write_model,
)

pytestmark = pytest.mark.slow

COUNT = 9
BOTH = ("--device", "cpu,cpu", "--threads", "2")


@pytest.fixture(scope="module")
def talks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of many lengths."""
    folder = tmp_path_factory.mktemp("talks")
    for number in range(COUNT):
        write_audio(folder / "in" / f"{number}.wav", 3000 + 4000 * (number % 4))
    return folder / "in"


@pytest.fixture(scope="module")
def coded(talks: Path, mono: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process makes of them."""
    folder = tmp_path_factory.mktemp("coded")
    run("encode", talks, "-r", "-m", mono, "-o", folder, "--device", "cpu").ok()
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_encode_makes_the_same_files(talks: Path, coded: Path, mono: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    inputs = (tmp_path / "empty.wav", talks, "-r")
    result = run("encode", *inputs, "-m", mono, "-o", tmp_path / "out", *BOTH, "--json")
    assert result.code == 1
    assert len(result.errors) == 1
    assert files(tmp_path / "out") == files(coded)
    *lines, last = rows(result.text)
    assert len({line["source"] for line in lines}) == COUNT
    assert (last["summary"]["done"], last["summary"]["failed"]) == (COUNT, 1)


def test_decode_makes_the_same_files(coded: Path, mono: Path, tmp_path: Path) -> None:
    run("decode", coded, "-r", "-m", mono, "-o", tmp_path / "a").ok()
    result = run("decode", coded, "-r", "-m", mono, "-o", tmp_path / "b", *BOTH).ok()
    assert f"{COUNT} files: {COUNT} done" in result.stderr
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert len(files(tmp_path / "b")) == COUNT


def test_files_of_tokens_are_decoded_as_well(coded: Path, mono: Path, tmp_path: Path) -> None:
    run("tokens", coded / "1.ecdc", "--to", "npz", "-o", tmp_path).ok()
    inputs = (tmp_path / "1.npz", coded / "2.ecdc", "-m", mono)
    run("decode", *inputs, "-o", tmp_path / "a").ok()
    run("decode", *inputs, "-o", tmp_path / "b", *BOTH).ok()
    assert files(tmp_path / "a") == files(tmp_path / "b")
    run("decode", *inputs, "-o", tmp_path / "c", "--ray").refused(2, "--ray: is for .ecdc files")


def test_evaluate_measures_the_same(talks: Path, mono: Path, tmp_path: Path) -> None:
    inputs = [talks / f"{number}.wav" for number in (1, 2, 3)]
    options = ("-m", mono, "--bandwidths", "1.5,3", "--no-speech", "--json")
    found = []
    for how in ((), BOTH):
        lines = rows(run("evaluate", *inputs, *options, *how).ok().text)
        kept = [{name: row[name] for name in row if "speed" not in name} for row in lines]
        found.append(sorted(kept, key=lambda row: (row["recording"], row["bandwidth"])))
    assert found[0] == found[1]
    assert len(found[0]) == 6


def test_decode_does_a_part(coded: Path, mono: Path, tmp_path: Path) -> None:
    for part, count in (("1/2", 5), ("2/2", 4)):
        result = run("decode", coded, "-r", "-m", mono, "-o", tmp_path, "--part", part).ok()
        assert f"{count} files: {count} done" in result.stderr
    assert len(files(tmp_path)) == COUNT


# What is there already


def arguments(command: str, talks: Path, coded: Path, mono: Path) -> tuple[str | Path, ...]:
    if command == "tokens":
        return ("tokens", talks, "-r", "--to", "npz", "-m", mono)
    return (command, talks if command == "encode" else coded, "-r", "-m", mono)


@pytest.mark.parametrize(
    ("command", "suffix"), [("encode", ".ecdc"), ("decode", ".wav"), ("tokens", ".npz")]
)
def test_what_is_there_is_overwritten_only_if_asked(
    command: str, suffix: str, talks: Path, coded: Path, mono: Path, tmp_path: Path
) -> None:
    line = (*arguments(command, talks, coded, mono), "-o", tmp_path, *BOTH)
    there = tmp_path / f"4{suffix}"
    there.write_bytes(b"mine")
    result = run(*line)
    assert result.code == 1
    assert len(result.errors) == 1
    assert f"{there}: exists already; use --force to overwrite it" in result.errors[0]
    assert f"{COUNT - 1} done, 1 failed" in result.stderr
    assert there.read_bytes() == b"mine"
    assert len(list(tmp_path.glob(f"*{suffix}"))) == COUNT

    (tmp_path / f"5{suffix}").unlink()
    result = run(*line, "--skip-existing").ok()
    assert f"1 done, {COUNT - 1} skipped" in result.stderr
    assert there.read_bytes() == b"mine"

    run(*line, "--force").ok()
    assert there.read_bytes() != b"mine"


def test_what_needs_this_process_is_refused(talks: Path, mono: Path, tmp_path: Path) -> None:
    one = (talks / "0.wav", "-m", mono, *BOTH)
    encode = ("encode", *one, "-o", tmp_path)
    run(*encode, "--delete-input").refused(2, "--device cpu,cpu", "leave out --delete-input")
    run(*encode, "--format", "v0", "--lm", "x").refused(2, "--device cpu,cpu", "load no --lm")
    run("encode", "-", "-", *one[1:]).refused(2, "--device cpu,cpu: needs files, no pipes")
    decoded = ("evaluate", "--reference", talks, "--decoded", talks, *BOTH)
    run(*decoded).refused(2, "--device cpu,cpu", "leave out --reference")


# Codes do not depend on the company a file keeps


def test_the_engine_is_not_chosen_by_how_much_many_files_hold(talks: Path, tmp_path: Path) -> None:
    """With an LSTM torch is worth its start from minutes of audio on; a part may have less."""
    plain = mono_config()
    seanet = replace(plain.seanet, lstm=1)
    config = replace(plain, seanet=seanet, decoder=replace(plain.decoder, lstm=1))
    model = write_model(tmp_path / "lstm.safetensors", make_model(config))

    def engine(*arguments: str | Path) -> str:
        line = command(*arguments, "-m", model, "--device", "cpu", "--verbose")
        done = subprocess.run(line, env=environment(), capture_output=True, text=True, check=True)
        [said] = [line for line in done.stderr.splitlines() if "runs on" in line]
        return said.partition("runs on ")[2].partition(",")[0]

    of_one = engine("encode", talks / "0.wav", tmp_path / "0.ecdc")
    of_two = engine("encode", talks / "0.wav", talks / "1.wav", "-o", tmp_path / "two")
    assert of_one == "numpy"
    assert of_two != "numpy"
    of_tokens = engine("tokens", talks / "0.wav", "--to", "npz", "-o", tmp_path / "tokens")
    assert of_tokens == of_two
