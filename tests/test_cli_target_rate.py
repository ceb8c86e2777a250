"""`encode --target-kbps`: files of the rate that was asked for, with the bundled model."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from cli_samples import REPOSITORY, run, write_audio

from encodec_cli.checkpoints.card import file_sha256, find_model, read_card
from encodec_cli.config.bundled import DEFAULT_MODEL
from encodec_cli.entropy.library import code_model_of

CARD = read_card(find_model(DEFAULT_MODEL))
SAMPLES = REPOSITORY / "samples"
bundled = pytest.mark.skipif(
    code_model_of(CARD.identity or file_sha256(CARD.path)) is None,
    reason="no code model of the default model is bundled",
)


def coded(source: Path, target: Path, *options: str) -> dict[str, Any]:
    """What --json says of the file at `target`."""
    answer: dict[str, Any] = json.loads(run("encode", source, target, "--json", *options).ok().text)
    return answer


@bundled
@pytest.mark.slow
@pytest.mark.parametrize(("name", "target"), [("speech", 1.2), ("music", 2.5), ("speech", 4)])
def test_the_file_has_the_rate_and_is_a_file_like_others(
    tmp_path: Path, name: str, target: float
) -> None:
    file = tmp_path / "a.ecdc"
    said = coded(SAMPLES / f"{name}.wav", file, "--target-kbps", str(target))
    kbps = file.stat().st_size * 8 / 1000 / soundfile.info(SAMPLES / f"{name}.wav").duration

    assert kbps == pytest.approx(target, rel=0.02)
    assert said["kbps"] == pytest.approx(kbps, rel=0.001)
    assert said["target_kbps"] == target
    assert not any(f"not {target}" in note for note in said["notes"])
    facts = json.loads(run("info", file, "--json").ok().text)
    assert facts["codebooks"] == said["codebooks"]
    assert facts["coded_chunks"] == facts["chunks"]
    run("verify", file).ok()
    run("decode", file, tmp_path / "a.wav").ok()
    assert soundfile.info(tmp_path / "a.wav").frames == facts["num_samples"]
    run("peel", file, tmp_path / "b.ecdc", "--n-q", "1").ok()


@bundled
@pytest.mark.slow
def test_a_recording_of_several_groups_has_the_rate_and_always_the_same_bytes(
    tmp_path: Path,
) -> None:
    parts = [
        soundfile.read(SAMPLES / f"{name}.wav", dtype="float32") for name in ("speech", "music")
    ]
    speech, rate = parts[0]
    music = parts[1][0].mean(1)[: 8 * parts[1][1]]
    soundfile.write(tmp_path / "a.wav", np.concatenate([speech, music * 0.1, speech]), rate)
    for name, threads in (("a", "1"), ("b", "2")):
        command = ("--target-kbps", "0.9", "--threads", threads)
        said = coded(tmp_path / "a.wav", tmp_path / f"{name}.ecdc", *command)
        assert said["kbps"] == pytest.approx(0.9, rel=0.02)
    assert (tmp_path / "a.ecdc").read_bytes() == (tmp_path / "b.ecdc").read_bytes()


@bundled
@pytest.mark.slow
def test_the_number_of_codebooks_is_the_next_and_a_dear_rate_is_said(tmp_path: Path) -> None:
    plain = {
        k: coded(SAMPLES / "speech.wav", tmp_path / f"{k}.ecdc", "--n-q", str(k))["kbps"]
        for k in (2, 3)
    }
    for share, notes in ((0.1, 1), (0.8, 0)):
        target = plain[2] + share * (plain[3] - plain[2])
        command = ("--target-kbps", str(target))
        said = coded(SAMPLES / "speech.wav", tmp_path / f"{share}.ecdc", *command)
        assert said["codebooks"] == 3
        assert said["kbps"] == pytest.approx(target, rel=0.02)
        assert len(said["notes"]) == notes
        assert all(note.startswith("2 codebooks take about ") for note in said["notes"])


@bundled
@pytest.mark.slow
def test_a_rate_out_of_reach_is_come_near_to_and_said(tmp_path: Path) -> None:
    source = write_audio(tmp_path / "a.wav", 12_000)
    for target, why in (("50", "takes no more with 16 codebooks"), ("0.3", "cannot take less")):
        file = tmp_path / f"{target}.ecdc"
        result = run("encode", source, file, "--target-kbps", target).ok()
        assert "warning" in result.stderr
        assert f"kb/s, not {target}: it {why}" in " ".join(result.stderr.split())
    run("encode", source, tmp_path / "all.ecdc", "--n-q", "16").ok()
    assert (tmp_path / "50.ecdc").read_bytes() == (tmp_path / "all.ecdc").read_bytes()
    soundfile.write(tmp_path / "silence.wav", np.zeros(240_000, np.float32), 24_000)
    said = coded(tmp_path / "silence.wav", tmp_path / "silence.ecdc", "--target-kbps", "6")
    assert said["codebooks"] == 16
    assert "takes no more" in said["notes"][0]


@bundled
def test_one_rate_is_enough_and_the_environment_s_is_the_last(tmp_path: Path) -> None:
    source = write_audio(tmp_path / "a.wav", 3000)
    command = ("encode", source, tmp_path / "a.ecdc", "--target-kbps", "4")
    run(*command, "-b", "6").refused(2, "give --bandwidth or --target-kbps, not both")
    run(*command, "--n-q", "4").refused(2, "give --n-q or --target-kbps, not both")
    run(*command, "--n-q", "4", "-b", "6").refused(2, "--bandwidth or --n-q or --target-kbps")
    run(*command, environment={"ENCODEC_CLI_BANDWIDTH": "6"}).ok()


def test_what_cannot_have_a_target_is_refused(tmp_path: Path, mono: Path) -> None:
    source = write_audio(tmp_path / "a.wav", 3000)
    command = ("encode", source, tmp_path / "a.ecdc", "-m", mono, "--target-kbps")
    words = "--target-kbps: is for --format v2 --entropy auto; leave out one"
    run(*command, "4", "--entropy", "none").refused(2, words)
    run(*command, "4", "--format", "v1").refused(2, words)
    run(*command, "4", "--format", "v0").refused(2, words)
    run(*command, "4").refused(2, "--target-kbps: takes a code model, and tiny24 has none")
    for number in ("0", "-1", "nan", "inf"):
        run(*command, number).refused(2, "--target-kbps", "give a number above 0")
    run(*command, "4", "--latency", "100").refused(2, "--target-kbps", "leave out --latency")
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


@bundled
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_pipes_are_refused(tmp_path: Path) -> None:
    recording = write_audio(tmp_path / "a.wav", 3000).read_bytes()
    os.mkfifo(tmp_path / "pipe.wav")
    for source in ("-", tmp_path / "pipe.wav"):
        command = ("encode", source, tmp_path / "a.ecdc", "--target-kbps", "4")
        run(*command, stdin=recording).refused(2, "--target-kbps", "which a pipe cannot be")
    assert not (tmp_path / "a.ecdc").exists()
    out = run("encode", tmp_path / "a.wav", "-", "--target-kbps", "4").ok().stdout
    run("encode", tmp_path / "a.wav", tmp_path / "a.ecdc", "--target-kbps", "4").ok()
    assert out == (tmp_path / "a.ecdc").read_bytes()
