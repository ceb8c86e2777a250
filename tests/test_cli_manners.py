"""What scripts and people rely on: nothing is left out silently, and what changes is said."""

import json
import os
import re
import shutil
import stat
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from cli_samples import RATE, command, environment, run, tone, write_audio

from encodec_cli.audio import read_tags
from encodec_cli.container import read_ecdc
from encodec_cli.io.claims import claimed


def tree(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir()}


def summary(text: str) -> dict[str, object]:
    last: dict[str, dict[str, object]] = json.loads(text.splitlines()[-1])
    return last["summary"]


# Folders


def test_files_that_may_hold_sound_are_taken_or_named(tmp_path: Path, mono: Path) -> None:
    folder = tmp_path / "in"
    write_audio(folder / "a.wav", 1000)
    shutil.copy(folder / "a.wav", folder / "no suffix")
    shutil.copy(folder / "a.wav", folder / "other.xyz")
    (folder / "raw.pcm").write_bytes(bytes(100))
    (folder / "book.aax").write_bytes(bytes(100))
    (folder / "notes.txt").write_text("no sound")
    (folder / "._a.wav").write_bytes(b"\0\5\x16\7" + bytes(100))
    (folder / ".Trash-1000").mkdir()
    write_audio(folder / ".Trash-1000" / "gone.wav", 1000)
    os.mkfifo(folder / "pipe.wav")
    (folder / "elsewhere").symlink_to(tmp_path)
    result = run("encode", folder, "-r", "-m", mono, "-o", tmp_path / "o", "--json")
    assert (result.code, result.errors) == (1, [])
    assert tree(tmp_path / "o") == {"a.ecdc", "no suffix.ecdc", "other.ecdc"}
    facts = summary(result.text)
    assert (facts["done"], facts["failed"], facts["not_taken"]) == (3, 0, 4)
    left = {"raw.pcm", "book.aax", "pipe.wav", "elsewhere"}
    assert facts["not_taken_files"].keys() == {str(folder / name) for name in left}  # type: ignore
    for name in left:
        assert f"{folder / name}: not taken: " in result.stderr


def test_a_link_that_leads_nowhere_is_a_file_that_failed(tmp_path: Path, mono: Path) -> None:
    folder = tmp_path / "in"
    write_audio(folder / "a.wav", 1000)
    (folder / "b.wav").symlink_to("gone.wav")
    result = run("encode", folder, "-r", "-m", mono, "-o", tmp_path / "o")
    assert (result.code, tree(tmp_path / "o")) == (1, {"a.ecdc"})
    assert "b.wav: no such file" in result.errors[0]


@pytest.mark.skipif(os.geteuid() == 0, reason="root looks into every folder")
def test_a_folder_that_cannot_be_looked_into_is_named(tmp_path: Path, mono: Path) -> None:
    write_audio(tmp_path / "a.wav", 1000)
    (tmp_path / "secret").mkdir(mode=0)
    result = run("encode", tmp_path, "-r", "-m", mono)
    assert result.code == 1
    assert "secret: not taken: cannot be looked into" in result.stderr


def test_a_summary_ends_a_run_of_many(tmp_path: Path, mono: Path) -> None:
    for name, n in (("a.wav", RATE), ("b.wav", 2 * RATE), ("c.wav", RATE)):
        write_audio(tmp_path / "in" / name, n)
    (tmp_path / "in" / "bad.wav").write_bytes(b"RIFF....no")
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "c.ecdc").write_bytes(b"there")
    arguments = ("encode", tmp_path / "in", "-r", "-m", mono, "-o", tmp_path / "o")
    result = run(*arguments, "--skip-existing", "--json")
    sizes = [(tmp_path / "o" / name).stat().st_size for name in ("a.ecdc", "b.ecdc")]
    facts = summary(result.text)
    assert (facts["files"], facts["done"], facts["skipped"], facts["failed"]) == (4, 2, 1, 1)
    assert (facts["seconds"], facts["bytes"]) == (3.0, sum(sizes))
    assert facts["kbps"] == pytest.approx(sum(sizes) * 8 / 3000, abs=1e-4)
    words = run(*arguments, "--force").stderr.splitlines()
    assert words[-2] == "4 files: 3 done, 1 failed"
    assert "4.00 s of audio, " in words[-1]
    assert words[-1].endswith(" x real time")
    assert max(map(len, words[-2:])) <= 80
    back = run("decode", tmp_path / "o", "-r", "-m", mono, "-o", tmp_path / "b", "--json").ok()
    assert summary(back.text)["seconds"] == 4.0
    one = run("encode", tmp_path / "in" / "a.wav", tmp_path / "x.ecdc", "-m", mono, "--json").ok()
    assert len(one.text.splitlines()) == 1


def test_dry_run_touches_nothing(tmp_path: Path, mono: Path) -> None:
    write_audio(tmp_path / "in" / "a.wav", 1000)
    write_audio(tmp_path / "in" / "b.wav", 1000)
    (tmp_path / "in" / "b.ecdc").write_bytes(b"there")
    before = tree(tmp_path)
    result = run("encode", tmp_path / "in", "-r", "-m", "no such model", "--dry-run")
    assert result.code == 1
    assert f"would make {tmp_path}/in/a.wav -> {tmp_path}/in/a.ecdc" in result.stderr
    assert "b.ecdc: exists already; use --force" in result.errors[0]
    assert "2 files: 1 to do, 1 failed" in result.stderr
    run("encode", tmp_path / "in" / "a.wav", "--dry-run", "-o", tmp_path / "new").ok()
    assert tree(tmp_path) == before


# Targets


def test_an_existing_folder_as_the_last_argument_takes_the_outputs(
    tmp_path: Path, mono: Path
) -> None:
    a, b = (write_audio(tmp_path / name, 1000) for name in ("a.wav", "b.wav"))
    (tmp_path / "o").mkdir()
    run("encode", a, tmp_path / "o", "-m", mono).ok()
    run("encode", a, b, f"{tmp_path}/o/", "-m", mono, "--skip-existing").ok()
    assert tree(tmp_path / "o") == {"a.ecdc", "b.ecdc"}
    new = f"{tmp_path}/new/"
    run("encode", a, new, "-m", mono).refused(2, f"{new}: no such folder; create it first")


def test_what_is_coded_or_audio_already_is_called_so(tmp_path: Path, mono: Path) -> None:
    source = write_audio(tmp_path / "a.wav", 1000)
    run("encode", source, "-m", mono).ok()
    coded = tmp_path / "a.ecdc"
    run("decode", source, "-m", mono).refused(2, "is audio already; `encode` makes .ecdc")
    run("encode", coded, "-m", mono).refused(2, "is coded already (.ecdc); `decode` makes audio")
    for name in ("other.ecdc", "other.wav.ecdc"):
        result = run("encode", coded, tmp_path / name, "-m", mono)
        result.refused(1, "is coded already (.ecdc)")


def test_dev_stdout_and_dev_stdin_are_the_streams(tmp_path: Path, mono: Path) -> None:
    source = write_audio(tmp_path / "a.wav", 1000)
    whole = run("encode", source, "-", "-m", mono).ok().stdout
    assert run("encode", source, "/dev/stdout", "-m", mono).ok().stdout == whole
    again = run("encode", "/dev/stdin", "/dev/stdout", "-m", mono, stdin=source.read_bytes()).ok()
    assert again.stdout[:4] == b"ECDC"


# What changes is said


def test_a_mix_is_said_and_one_that_cancels_is_warned_of(tmp_path: Path, mono: Path) -> None:
    sound = tone(2.0)[:, 0]
    soundfile.write(tmp_path / "wide.wav", np.stack([sound, 0.5 * sound], axis=1), RATE)
    half = np.concatenate([-sound[: RATE // 2], sound[RATE // 2 :]])
    soundfile.write(tmp_path / "anti.wav", np.stack([sound, half], axis=1), RATE)
    plain = run("encode", tmp_path / "wide.wav", "-m", mono).ok()
    assert "s, stereo to mono, " in plain.stderr
    assert "warning" not in plain.stderr
    result = run("encode", tmp_path / "anti.wav", "-m", mono, "-q").ok()
    assert "channels cancel each other in the mix" in result.stderr
    one = run("encode", write_audio(tmp_path / "one.wav", 1000), "-m", mono).ok()
    assert "mono" not in one.stderr.split(".ecdc:")[1]


def test_the_rate_that_a_bandwidth_became_is_said_once(tmp_path: Path, mono: Path) -> None:
    files = [write_audio(tmp_path / name, 1000) for name in ("a.wav", "b.wav")]
    result = run("encode", *files, "-m", mono, "-o", tmp_path / "o", "-b", "5").ok()
    assert result.stderr.count("--bandwidth 5: becomes 4.5 kb/s, 6 codebooks") == 1
    exact = run("encode", *files, "-m", mono, "-o", tmp_path / "p", "-b", "4.5").ok()
    assert "becomes" not in exact.stderr


TAGS = {"title": "Morgen", "artist": "Ö. Test", "album": "Eins", "date": "1999", "track": "3"}


def tagged(path: Path) -> Path:
    with soundfile.SoundFile(path, "w", RATE, 1) as file:
        for name, text in TAGS.items():
            setattr(file, "tracknumber" if name == "track" else name, text)
        file.comment = "two\nlines"
        file.write(tone(0.5))
    return path


@pytest.mark.parametrize("suffix", ["flac", "ogg", "wav"])
def test_tags_travel_into_the_container_and_back(tmp_path: Path, mono: Path, suffix: str) -> None:
    source, coded = tagged(tmp_path / "a.flac"), tmp_path / "a.ecdc"
    run("encode", source, "-m", mono, "--tag", "genre=noise", "--tag", "Composer=X").ok()
    stored = {**TAGS, "comment": "two lines", "genre": "noise", "composer": "X"}
    assert read_ecdc(coded).header.tags == stored
    back = tmp_path / f"back.{suffix}"
    result = run("decode", coded, back, "-m", mono).ok()
    assert "without tags composer" in result.stderr
    del stored["composer"]
    assert read_tags(back).kept == stored
    run("encode", back, tmp_path / "again.ecdc", "-m", mono, "--tag", "genre=").ok()
    assert read_ecdc(tmp_path / "again.ecdc").header.tags == {
        name: text for name, text in stored.items() if name != "genre"
    }
    assert soundfile.info(back).frames == RATE // 2
    run("decode", coded, back, "-m", mono, "--no-tags", "-f").ok()
    assert read_tags(back).kept == {}


def test_tags_that_are_not_kept_are_named(tmp_path: Path, mono: Path) -> None:
    source = tagged(tmp_path / "a.flac")
    run("encode", source, "-m", mono, "--no-tags").ok()
    assert read_ecdc(tmp_path / "a.ecdc").header.tags == {}
    with soundfile.SoundFile(tmp_path / "long.flac", "w", RATE, 1) as file:
        file.title, file.comment = "short", "x" * 5000
        file.write(tone(0.1))
    result = run("encode", tmp_path / "long.flac", "-m", mono).ok()
    assert "without tags comment" in result.stderr
    assert read_ecdc(tmp_path / "long.ecdc").header.tags == {"title": "short"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--tag", "title"), "--tag title: give KEY=VALUE"),
        (("--tag", "=x"), "give KEY=VALUE"),
        (("--tag", "a\x1b=x"), "give KEY=VALUE"),
        (("--tag", "a=\x1b[2J"), "printable"),
        (("--tag", f"a={'x' * 3000}"), "up to 2000"),
        (("--tag", "a=b", "--no-tags"), "not both"),
        (("--tag", "a=b", "--format", "v0"), "--keep-source"),
    ],
)
def test_tags_that_cannot_be(
    tmp_path: Path, mono: Path, options: tuple[str, ...], words: str
) -> None:
    run("encode", write_audio(tmp_path / "a.wav", 1000), "-m", mono, *options).refused(2, words)


# Times, and inputs that are deleted


def test_the_time_of_modification_is_kept(tmp_path: Path, mono: Path) -> None:
    source = write_audio(tmp_path / "a.wav", 1000)
    os.utime(source, (1e9, 1e9))
    run("encode", source, "-m", mono).ok()
    assert (tmp_path / "a.ecdc").stat().st_mtime == 1e9
    run("decode", tmp_path / "a.ecdc", tmp_path / "b.wav", "-m", mono).ok()
    assert (tmp_path / "b.wav").stat().st_mtime == 1e9


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o444, 0o755])
def test_permissions_and_time_are_the_source_s(tmp_path: Path, mono: Path, mode: int) -> None:
    source = write_audio(tmp_path / "a.wav", 1000)
    coded, smaller = tmp_path / "a.ecdc", tmp_path / "small.ecdc"
    source.chmod(0o4000 | mode)  # setuid belongs to programs
    os.utime(source, (1e9, 1e9))
    run("encode", source, "-m", mono).ok()
    run("decode", coded, tmp_path / "b.wav", "-m", mono).ok()
    run("peel", coded, smaller, "--n-q", 1).ok()
    for made in (coded, smaller, tmp_path / "b.wav"):
        status = made.stat()
        assert stat.S_IMODE(status.st_mode) == mode, made
        assert status.st_mtime == 1e9, made
    run("encode", source, coded, "-m", mono, "--force").ok()


def test_what_comes_from_a_pipe_has_the_permissions_of_any_new_file(
    tmp_path: Path, mono: Path
) -> None:
    source = write_audio(tmp_path / "a.wav", 1000)
    source.chmod(0o600)
    run("encode", "-", tmp_path / "a.ecdc", "-m", mono, stdin=source.read_bytes()).ok()
    (tmp_path / "new").touch()
    assert (tmp_path / "a.ecdc").stat().st_mode == (tmp_path / "new").stat().st_mode


def test_an_input_is_deleted_once_its_output_is_whole(tmp_path: Path, mono: Path) -> None:
    source, bad = write_audio(tmp_path / "a.wav", 1000), tmp_path / "bad.wav"
    bad.write_bytes(b"RIFF....no")
    (tmp_path / "link.wav").symlink_to(bad)
    files = (source, bad)
    result = run("encode", *files, "-m", mono, "-o", tmp_path / "o", "--delete-input")
    assert result.code == 1
    assert "input deleted" in result.stderr
    assert tree(tmp_path) == {"bad.wav", "link.wav", "o/a.ecdc"}
    run("decode", tmp_path / "o" / "a.ecdc", source, "-m", mono, "--delete-input").ok()
    assert tree(tmp_path) == {"a.wav", "bad.wav", "link.wav"}
    assert soundfile.info(source).frames == 1000
    (tmp_path / "near.wav").symlink_to(source)
    kept = run("encode", tmp_path / "near.wav", "-m", mono, "--delete-input")
    kept.refused(1, "near.wav: kept: is a link")
    assert source.is_file()
    run("encode", "-", tmp_path / "x.ecdc", "-m", mono, "--delete-input").refused(2, "no pipes")


def test_a_damaged_input_is_not_deleted(tmp_path: Path, mono: Path) -> None:
    run("encode", write_audio(tmp_path / "a.wav", 60_000), "-m", mono).ok()
    coded = tmp_path / "a.ecdc"
    data = bytearray(coded.read_bytes())
    data[len(data) // 2] ^= 1
    coded.write_bytes(data)
    result = run("decode", coded, tmp_path / "b.wav", "-m", mono, "--conceal", "--delete-input")
    assert result.code == 1
    assert coded.is_file()
    whole = run("decode", coded, tmp_path / "c.wav", "-m", mono, "--start", "1", "--delete-input")
    whole.refused(2, "--delete-input: is for whole .ecdc files")


# Several runs into one folder


def test_a_file_that_another_run_makes_is_skipped(tmp_path: Path, mono: Path) -> None:
    files = [write_audio(tmp_path / "in" / name, 1000) for name in ("a.wav", "b.wav")]
    out = tmp_path / "o"
    out.mkdir()
    arguments = ("encode", *files, "-m", mono, "-o", out, "--skip-existing")
    with claimed(out / "a.ecdc") as claim:
        assert claim == "ours"
        with claimed(out / "a.ecdc") as other:
            assert other == "others"
        result = run(*arguments).ok()
        assert f"{out / 'a.ecdc'}: another run makes it, skipped" in result.stderr.splitlines()
        assert tree(out) == {"b.ecdc", ".a.ecdc.claim"}
    assert tree(out) == {"b.ecdc"}
    run(*arguments).ok()
    assert tree(out) == {"a.ecdc", "b.ecdc"}
    with claimed(out / "a.ecdc") as claim:
        assert claim == "done"


def test_a_claim_left_by_a_killed_run_claims_nothing(tmp_path: Path, mono: Path) -> None:
    source = write_audio(tmp_path / "a.wav", 1000)
    (tmp_path / ".a.ecdc.claim").touch()
    run("encode", source, "-m", mono, "--skip-existing").ok()
    assert tree(tmp_path) == {"a.wav", "a.ecdc"}


@pytest.mark.slow
def test_runs_side_by_side_share_the_work(tmp_path: Path, mono: Path) -> None:
    import subprocess

    for number in range(12):
        write_audio(tmp_path / "in" / f"{number}.wav", 10_000)
    line = command(
        *("encode", tmp_path / "in", "-r", "-m", mono, "-o", tmp_path / "o", "--skip-existing"),
        *("--threads", "1", "--json"),
    )
    runs = [
        subprocess.Popen(line, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    texts = [run.communicate(timeout=120)[0].decode() for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert sum(summary(text)["done"] for text in texts) == 12  # type: ignore[misc]
    assert tree(tmp_path / "o") == {f"{number}.ecdc" for number in range(12)}


# Many files for info, verify, peel


@pytest.fixture
def coded(tmp_path: Path, mono: Path) -> Path:
    for name in ("a.wav", "deep/b.wav"):
        write_audio(tmp_path / "in" / name, RATE)
    run("encode", tmp_path / "in", "-r", "-m", mono, "-o", tmp_path / "coded").ok()
    return tmp_path / "coded"


def test_info_verify_and_peel_take_folders(tmp_path: Path, coded: Path) -> None:
    facts = [json.loads(line) for line in run("info", coded, "-r", "--json").ok().text.splitlines()]
    assert [f["source"] for f in facts] == [f"{coded}/a.ecdc", f"{coded}/deep/b.ecdc"]
    lines = run("verify", "-r", coded, "--json").ok().text.splitlines()
    assert [json.loads(line)["state"] for line in lines[:-1]] == ["ok", "ok"]
    assert summary(lines[-1])["ok"] == 2
    peeled = tmp_path / "peeled"
    result = run("peel", "-r", coded, "-o", peeled, "--n-q", "2", "--json").ok()
    assert tree(peeled) == {"a.ecdc", "deep/b.ecdc"}
    assert summary(result.text)["done"] == 2
    assert read_ecdc(peeled / "deep" / "b.ecdc").header.codebooks == 2
    run("peel", coded / "a.ecdc", "--n-q", "2").refused(2, "name OUT, or a folder")


def test_verify_says_what_is_no_ecdc_file(tmp_path: Path, coded: Path) -> None:
    source = tmp_path / "in" / "a.wav"
    result = run("verify", source, coded / "a.ecdc")
    assert result.code == 1
    assert result.text.splitlines() == [f"{source}: not .ecdc", f"{coded}/a.ecdc: ok"]
    assert "not an .ecdc file but a WAV (RIFF) file; encode it first" in result.errors[0]


def test_info_says_what_other_files_are(tmp_path: Path, mono: Path, coded: Path) -> None:
    import torch

    run("tokens", coded / "a.ecdc", "--to", "npz", "-o", tmp_path).ok()
    run("tokens", coded / "a.ecdc", "--to", "safetensors", "-o", tmp_path).ok()
    np.save(tmp_path / "x.npy", np.zeros((2, 3)))
    np.savez(tmp_path / "y.npz", other=np.zeros(3))
    np.savez(tmp_path / "bark.npz", coarse_prompt=np.zeros((2, 9), int))
    (tmp_path / "lines.jsonl").write_text("[1, 2]\n")
    torch.save({"a": torch.zeros(2)}, tmp_path / "z.pt")
    for name, *words in (
        ("a.npz", "an .npz file of codes [8 codebooks, 75 frames]", "decode a.npz"),
        ("a.safetensors", "a safetensors file of codes [8 codebooks, 75 frames]"),
        ("x.npy", "an array of numpy (.npy); if it holds codes, `encodec-cli decode x.npy`"),
        ("bark.npz", "an .npz file of codes [2 codebooks, 9 frames]", "decode bark.npz"),
        ("lines.jsonl", "JSON Lines; if they hold codes", "decode lines.jsonl -o FOLDER"),
        ("y.npz", "with the arrays 'other', none of them `codes`"),
        ("z.pt", "a file of torch.save (.pt, .th)"),
    ):
        run("info", tmp_path / name).refused(1, str(tmp_path / name), "not an .ecdc", *words)


# Terminals


def test_lines_stand_above_the_bar(tmp_path: Path, mono: Path) -> None:
    for name in ("a.wav", "b.wav"):
        write_audio(tmp_path / "in" / name, 2 * RATE)
    result = run(
        *("encode", tmp_path / "in", "-r", "-m", mono),
        terminal=("stderr",),
        environment={"COLUMNS": "200", "NO_COLOR": "1"},
    ).ok()
    for name in ("a.wav", "b.wav"):
        # Where a line of the bar stands, it is wiped first.
        line = re.escape(f"{tmp_path}/in/{name} -> ")
        assert re.search(rf"(?:\x1b\[\?25l|\x1b\[2K|\n){line}", result.stderr)
    assert "of 2 files  [" in result.stderr
    assert "\x1b[3" not in result.stderr


def test_a_terminal_that_cannot_move_text_gets_plain_lines(tmp_path: Path, mono: Path) -> None:
    source = write_audio(tmp_path / "a.wav", RATE)
    result = run("encode", source, "-m", mono, terminal=("stderr",), environment={"TERM": "dumb"})
    assert "\x1b" not in result.ok().stderr
    said = " ".join(result.stderr.split())  # such a terminal counts as 80 columns wide
    assert said.startswith(f"{source} -> {source.with_suffix('.ecdc')}: 1.00 s, ")
    assert "\r" not in result.stderr


def test_a_wrong_option_is_said_before_a_target_that_is_there(tmp_path: Path, mono: Path) -> None:
    source = write_audio(tmp_path / "a.wav", 1000)
    run("encode", source, "-m", mono).ok()
    run("encode", source, "--latency", "50", "--format", "v0").refused(2, "--latency")
    coded = tmp_path / "a.ecdc"
    run("decode", coded, source, "--sample-rate", "12").refused(2, "--sample-rate 12")
    run("decode", coded, source, "--encoding", "float", "--audio-format", "flac").refused(
        2, "float"
    )


# Help


def test_help_version_and_hints(tmp_path: Path) -> None:
    for arguments in (("encode", "-h"), ("help", "encode"), ("encode", "--help")):
        text = run(*arguments, environment={"COLUMNS": "80"}).ok().text
        for panel in ("Coding", "Output", "Many files", "What is said", "Machine"):
            assert f"─ {panel} ─" in text
        assert "Example: encodec-cli encode talk.wav --bandwidth 3" in text
        assert "ENCODEC_CLI_MODEL" in text
        assert max(map(len, text.splitlines())) <= 80
    assert run("-V").ok().text == run("--version").ok().text
    assert "models show" in run("help", "models", "show").ok().text
    assert run("help", "nothing").code == 2
    for option, instead in (
        ("--bitrate=3", "--bandwidth KBPS"),
        ("--overwrite", "--force"),
        ("--jobs", "--threads N"),
    ):
        run("encode", "a.wav", option).refused(2, "there is no such option; use " + instead)
    assert run("info", "a.ecdc", "--bitrate").code == 2  # it has no --bandwidth to hint at


def test_environment_variables_set_defaults(tmp_path: Path, mono: Path) -> None:
    source = write_audio(tmp_path / "a.wav", 1000)
    usual = {"ENCODEC_CLI_MODEL": str(mono), "ENCODEC_CLI_BANDWIDTH": "3"}
    run("encode", source, environment=usual).ok()
    assert read_ecdc(tmp_path / "a.ecdc").header.codebooks == 4
    run("encode", source, "-f", "-b", "1.5", environment=usual).ok()
    assert read_ecdc(tmp_path / "a.ecdc").header.codebooks == 2
    run("encode", source, "-f", "--n-q", "1", environment=usual).ok()
    assert read_ecdc(tmp_path / "a.ecdc").header.codebooks == 1
    both = run("encode", source, "-f", "--n-q", "1", "-b", "3", environment=usual)
    both.refused(2, "give --bandwidth or --n-q, not both")
    run("decode", tmp_path / "a.ecdc", tmp_path / "b.wav", environment=usual).ok()
    bad = usual | {"ENCODEC_CLI_THREADS": "0"}
    assert run("encode", source, "-f", environment=bad).code == 2


# Pipes


def test_lines_in_pipes_are_no_longer_than_what_they_say(tmp_path: Path, mono: Path) -> None:
    run("encode", write_audio(tmp_path / "a.wav", 1000), "-m", mono).ok()
    for arguments in (
        ("info", tmp_path / "a.ecdc"),
        ("models", "show", mono),
        ("models", "list"),
        ("doctor",),
    ):
        lines = run(*arguments).text.splitlines()
        assert len(lines) > 3
        assert [line for line in lines if line != line.rstrip()] == []


def test_progress_without_a_terminal_is_lines_now_and_then(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from encodec_cli.cli.console import shown_progress
    from encodec_cli.cli.progress import FileProgress, RunProgress

    run = RunProgress("a.wav", [FileProgress("", 4.0), FileProgress("", 4.0)])
    with shown_progress(run, quiet=False, lines=True, every_seconds=0.02):
        run.update(0, 2.0, 4.0)
        deadline = time.monotonic() + 30
        said = ""
        while said.count("\n") < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
            said += capsys.readouterr().err
    assert said.splitlines()[-1].startswith("0 of 2 files   25 %  audio 0:02 of ~0:08")
    with shown_progress(run, quiet=False, lines=False, every_seconds=0.001):
        time.sleep(0.05)
    assert capsys.readouterr().err == ""
