"""Many files at once, targets, names: what a shell script relies on."""

import json
import os
import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import soundfile
from cases import mostly_slow
from cli_samples import run, write_audio

from encodec_cli.container import read_ecdc


def tree(folder: Path) -> set[str]:
    """Relative names of all files, hidden ones included."""
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir()}


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A folder with recordings at several depths, and something else."""
    folder = tmp_path / "in"
    (folder / "side b" / "deep").mkdir(parents=True)
    write_audio(folder / "one.wav", 3000)
    write_audio(folder / "two.FLAC", 3001)
    write_audio(folder / "side b" / "one.wav", 3002)
    write_audio(folder / "side b" / "deep" / "three.ogg", 3003)
    (folder / "notes.txt").write_text("no sound")
    return folder


# Many files


def test_output_dir_takes_all_outputs(tmp_path: Path, mono: Path, album: Path) -> None:
    result = run("encode", album / "one.wav", album / "two.FLAC", "-m", mono, "-o", tmp_path / "o")
    result.ok()
    assert tree(tmp_path / "o") == {"one.ecdc", "two.ecdc"}
    assert len(result.stderr.splitlines()) == 4  # a line for each, a summary of two


def test_a_single_input_may_have_a_new_output_folder_too(
    tmp_path: Path, mono: Path, album: Path
) -> None:
    run("encode", album / "one.wav", "-m", mono, "-o", tmp_path / "new" / "deep").ok()
    assert tree(tmp_path / "new") == {"deep/one.ecdc"}


def test_recursive_mirrors_the_tree(tmp_path: Path, mono: Path, album: Path) -> None:
    run("encode", album, "-r", "-o", tmp_path / "packed", "-m", mono).ok()
    assert tree(tmp_path / "packed") == {
        "one.ecdc",
        "two.ecdc",
        "side b/one.ecdc",
        "side b/deep/three.ecdc",
    }
    run("decode", tmp_path / "packed", "-r", "-o", tmp_path / "back", "-m", mono).ok()
    frames = {
        name: soundfile.info(tmp_path / "back" / name).frames for name in tree(tmp_path / "back")
    }
    assert frames == {
        "one.wav": 3000,
        "two.wav": 3001,
        "side b/one.wav": 3002,
        "side b/deep/three.wav": 3003,
    }


def test_recursive_without_output_dir_writes_beside(mono: Path, album: Path) -> None:
    before = tree(album)
    run("encode", album, "-r", "-m", mono).ok()
    assert tree(album) - before == {
        "one.ecdc",
        "two.ecdc",
        "side b/one.ecdc",
        "side b/deep/three.ecdc",
    }


def test_decoded_suffix_follows_the_format(tmp_path: Path, mono: Path, album: Path) -> None:
    run("encode", album, "-r", "-o", tmp_path / "packed", "-m", mono).ok()
    run("decode", tmp_path / "packed", "-r", "-m", mono, "--audio-format", "flac").ok()
    made = {name for name in tree(tmp_path / "packed") if not name.endswith(".ecdc")}
    assert made == {"one.flac", "two.flac", "side b/one.flac", "side b/deep/three.flac"}


def test_one_bad_file_does_not_stop_the_others(tmp_path: Path, mono: Path, album: Path) -> None:
    (album / "bad.wav").write_bytes(b"RIFF....not really")
    result = run("encode", album, "-r", "-o", tmp_path / "o", "-m", mono, "--json")
    assert result.code == 1
    [error] = result.errors
    assert str(album / "bad.wav") in error
    assert len(tree(tmp_path / "o")) == 4
    *reports, end = [json.loads(line) for line in result.text.splitlines()]
    assert (end["summary"]["done"], end["summary"]["failed"]) == (4, 1)
    assert {Path(report["source"]).name for report in reports} == {
        "one.wav",
        "two.FLAC",
        "three.ogg",
    }


def test_a_file_that_the_options_do_not_fit_is_one_that_failed(
    tmp_path: Path, mono: Path, album: Path
) -> None:
    run("encode", album / "one.wav", tmp_path / "a.ecdc", "-m", mono).ok()
    run("peel", tmp_path / "a.ecdc", tmp_path / "b.ecdc", "--n-q", "2").ok()
    files = [tmp_path / "a.ecdc", tmp_path / "b.ecdc"]
    result = run("decode", *files, "-m", mono, "-o", tmp_path / "o", "--n-q", "4")
    assert (result.code, tree(tmp_path / "o")) == (1, {"a.wav"})
    [error] = result.errors
    assert f"{tmp_path / 'b.ecdc'}: holds 2 codebooks (1.5 kb/s), not 4" in error
    run("decode", files[1], "-m", mono, "--n-q", "4").refused(2, "holds 2 codebooks")


def test_missing_input_among_many(tmp_path: Path, mono: Path, album: Path) -> None:
    gone = album / "gone.wav"
    result = run("encode", gone, album / "one.wav", "-m", mono, "-o", tmp_path / "o")
    assert (result.code, tree(tmp_path / "o")) == (1, {"one.ecdc"})
    assert result.errors == [f"encodec-cli: error: {gone}: no such file; check the name"]


def test_skip_existing_resumes(tmp_path: Path, mono: Path, album: Path) -> None:
    out = tmp_path / "o"
    out.mkdir()
    (out / "one.ecdc").write_bytes(b"as it was")
    result = run("encode", album, "-r", "-o", out, "-m", mono, "--skip-existing").ok()
    assert (out / "one.ecdc").read_bytes() == b"as it was"
    assert len(tree(out)) == 4
    assert f"{out / 'one.ecdc'}: exists, skipped" in result.stderr.splitlines()
    times = {p: p.stat().st_mtime_ns for p in out.rglob("*.ecdc")}
    again = run("encode", album, "-r", "-o", out, "-m", mono, "--skip-existing", "-q").ok()
    assert again.stderr == ""
    assert times == {p: p.stat().st_mtime_ns for p in out.rglob("*.ecdc")}


def test_the_same_file_named_twice_is_done_once(tmp_path: Path, mono: Path, album: Path) -> None:
    result = run("encode", album, album / "one.wav", "-r", "-m", mono).ok()
    assert "4 files: 4 done" in result.stderr.splitlines()


def test_a_clash_of_names_costs_only_the_files_that_clash(tmp_path: Path, mono: Path) -> None:
    names = ("x.wav", "x.flac", "y.wav")
    files = [write_audio(tmp_path / "in" / name, 1000) for name in names]
    target = tmp_path / "o" / "x.ecdc"
    result = run("encode", *files, "-m", mono, "-o", tmp_path / "o")
    assert (result.code, tree(tmp_path / "o")) == (1, {"y.ecdc"})
    [error] = result.errors
    assert f"{files[0]} and {files[1]} would both become {target}; add --keep-suffix" in error
    assert "3 files: 1 done, 2 failed" in result.stderr.splitlines()
    run("encode", tmp_path / "in", "-r", "--keep-suffix", "-m", mono, "-o", tmp_path / "k").ok()
    assert tree(tmp_path / "k") == {f"{name}.ecdc" for name in names}
    run("encode", files[0], "--keep-suffix", "-m", mono).ok()
    assert (tmp_path / "in" / "x.wav.ecdc").is_file()


def test_only_clashing_files(tmp_path: Path, mono: Path) -> None:
    files = [write_audio(tmp_path / name, 1000) for name in ("x.wav", "x.flac")]
    run("encode", *files, "-m", mono, "-o", tmp_path / "o").refused(1, "would both become")
    assert tree(tmp_path) == {"x.wav", "x.flac"}


@pytest.mark.parametrize("force", [(), ("--force",)], ids=["", "force"])
@pytest.mark.parametrize("name", ["b.wav", "b.WAV", "b.wave", "b.flac", "b.mp3"])
def test_two_inputs_without_output_dir_never_overwrite_the_second(
    tmp_path: Path, mono: Path, name: str, force: tuple[str, ...]
) -> None:
    first, second = write_audio(tmp_path / "a.wav", 1000), tmp_path / name
    second.write_bytes(b"precious")
    run("encode", first, second, "-m", mono, *force).refused(2, "named like an input")
    run("encode", first, first, second, "-m", mono, *force).refused(2, "need --output-dir")
    assert second.read_bytes() == b"precious"


@pytest.mark.parametrize("force", [(), ("--force",)], ids=["", "force"])
def test_two_ecdc_files_without_output_dir_are_refused(
    tmp_path: Path, mono: Path, force: tuple[str, ...]
) -> None:
    run("encode", write_audio(tmp_path / "a.wav", 1000), "-m", mono).ok()
    before = (tmp_path / "a.ecdc").read_bytes()
    result = run("decode", tmp_path / "a.ecdc", tmp_path / "a.ecdc", "-m", mono, *force)
    result.refused(2, "named like an input")
    assert (tmp_path / "a.ecdc").read_bytes() == before


def test_folders_need_recursive(tmp_path: Path, mono: Path, album: Path) -> None:
    for more in ((), ("-o", tmp_path / "o")):
        run("encode", album, "-m", mono, *more).refused(2, str(album), "add --recursive")


def test_a_folder_without_recordings(tmp_path: Path, mono: Path) -> None:
    run("encode", tmp_path, "-r", "-m", mono).refused(2, ".wav", "files found")
    run("decode", tmp_path, "-r", "-m", mono).refused(
        2, "no .ecdc, .jsonl, .npy, .npz, ", "files found"
    )


def test_standard_input_is_not_one_of_many(tmp_path: Path, mono: Path) -> None:
    result = run("encode", "-", "-m", mono, "-o", tmp_path / "o")
    result.refused(2, "-: standard input has no name to give its output")


@pytest.mark.parametrize("name", ["out.ecdc", "out.WAV"])
def test_an_output_dir_named_like_a_file(
    tmp_path: Path, mono: Path, album: Path, name: str
) -> None:
    out = tmp_path / name
    run("encode", album / "one.wav", "-o", out, "-m", mono).refused(
        2, "--output-dir is a folder; to name the output of one input, write it after the input"
    )
    assert not out.exists()
    out.mkdir()  # whoever has such a folder means it
    run("encode", album / "one.wav", "-o", out, "-m", mono).ok()
    assert (out / "one.ecdc").is_file()


def test_an_output_dir_that_is_a_file(tmp_path: Path, mono: Path, album: Path) -> None:
    place = tmp_path / "o"
    place.write_bytes(b"")
    files = [album / "one.wav", album / "two.FLAC"]
    result = run("encode", *files, "-m", mono, "-o", place)
    assert result.code == 1
    assert (
        result.errors == [f"encodec-cli: error: {place}: cannot make this folder: File exists"] * 2
    )


# Targets


def test_existing_targets_are_refused_without_force(tmp_path: Path, mono: Path) -> None:
    source, target = write_audio(tmp_path / "a.wav", 1000), tmp_path / "a.ecdc"
    target.write_bytes(b"old")
    run("encode", source, "-m", mono).refused(1, f"{target}: exists already; use --force")
    assert target.read_bytes() == b"old"
    run("encode", source, "-m", mono, "--force").ok()
    assert read_ecdc(target).header.num_samples == 1000
    wav = tmp_path / "b.wav"
    wav.write_bytes(b"old")
    run("decode", target, wav, "-m", mono).refused(1, "use --force")
    run("peel", target, wav, "--n-q", "2").refused(1, "use --force")
    run("roundtrip", source, wav, "-m", mono).refused(1, "use --force")
    assert wav.read_bytes() == b"old"
    run("decode", target, wav, "-m", mono, "-f").ok()
    assert soundfile.info(wav).frames == 1000


def test_a_failed_overwrite_keeps_the_old_file(tmp_path: Path, mono: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF????WAVEnothing")
    (tmp_path / "a.ecdc").write_bytes(b"old")
    assert run("encode", tmp_path / "a.wav", "-m", mono, "--force").code == 1
    assert (tmp_path / "a.ecdc").read_bytes() == b"old"
    assert tree(tmp_path) == {"a.wav", "a.ecdc"}


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("missing/a.ecdc", "does not exist; create it first"),
        ("folder/a.ecdc/", "no such folder; create it first"),
        ("/dev/null", "is a device or pipe"),
        ("/proc/a.ecdc", "cannot write there"),
        ("n" * 300, "cannot write there: File name too long"),
    ],
)
@pytest.mark.parametrize("force", [(), ("--force",)], ids=["", "force"])
def test_targets_that_cannot_be(
    tmp_path: Path, mono: Path, target: str, words: str, force: tuple[str, ...]
) -> None:
    (tmp_path / "folder").mkdir()
    source = write_audio(tmp_path / "a.wav", 1000)
    code = 2 if target.endswith("/") else 1
    place = f"{tmp_path}/{target}" if code == 2 else tmp_path / target
    run("encode", source, place, "-m", mono, *force).refused(code, str(place), words)
    assert tree(tmp_path) == {"a.wav"}
    assert Path("/dev/null").is_char_device()


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_read_only_folder(tmp_path: Path, mono: Path) -> None:
    source = write_audio(tmp_path / "a.wav", 1000)
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    run("encode", source, folder / "a.ecdc", "-m", mono).refused(1, "Permission denied")


@contextmanager
def disk_of(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes, as if the disk were full."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg"])
def test_full_disk_while_decoding(tmp_path: Path, mono: Path, name: str) -> None:
    source = write_audio(tmp_path / "s.wav", 200_000)
    run("encode", source, tmp_path / "a.ecdc", "-m", mono).ok()
    with disk_of(20_000):
        result = run("decode", tmp_path / "a.ecdc", tmp_path / name, "-m", mono)
    result.refused(1, str(tmp_path / name), "cannot write")
    assert tree(tmp_path) == {"s.wav", "a.ecdc"}


def test_full_disk_while_encoding_and_peeling(tmp_path: Path, mono: Path) -> None:
    source = write_audio(tmp_path / "s.wav", 200_000)
    with disk_of(2000):
        result = run("encode", source, "-m", mono)
    result.refused(1, str(tmp_path / "s.ecdc"), "cannot write: File too large")
    assert tree(tmp_path) == {"s.wav"}
    run("encode", source, "-m", mono).ok()
    with disk_of(2000):
        result = run("peel", tmp_path / "s.ecdc", tmp_path / "p.ecdc", "--n-q", "7")
    result.refused(1, str(tmp_path / "p.ecdc"), "cannot write")
    assert tree(tmp_path) == {"s.wav", "s.ecdc"}


def test_full_disk_while_rescaling(tmp_path: Path, mono: Path) -> None:
    source = write_audio(tmp_path / "s.wav", 200_000)
    run("encode", source, "-m", mono).ok()
    with disk_of(20_000):
        result = run("decode", tmp_path / "s.ecdc", tmp_path / "b.wav", "-m", mono, "--rescale")
    assert (result.code, len(result.errors)) == (1, 1)
    assert "File too large" in result.errors[0]
    assert tree(tmp_path) == {"s.wav", "s.ecdc"}


# Names


NAMES = [
    "two words.wav",
    "日本語 ☃ é.wav",
    "録" * 82 + ".wav",
    "[bold red]x.wav",
    "[link=x]y[.wav",
    ":smile:.wav",
    "per%cent {brace}.wav",
    "back\\slash'quote\".wav",
]


@pytest.mark.parametrize("name", mostly_slow(NAMES, 3), ids=range(len(NAMES)))
def test_names_are_printed_as_they_are(tmp_path: Path, mono: Path, name: str) -> None:
    source = tmp_path / name
    write_audio(tmp_path / "plain.wav", 2000).rename(source)
    target = source.with_suffix(".ecdc")
    result = run("encode", source, "-m", mono).ok()
    assert f"{source} -> {target}: " in result.stderr
    result = run("encode", source, "-m", mono)
    result.refused(1, f"{target}: exists already")
    assert json.loads(run("info", target, "--json").ok().text)["source"] == str(target)
    assert str(target) in run("info", target).ok().text
    assert run("verify", target).ok().text == f"{target}: ok\n"
    result = run("decode", target, "-m", mono, "--json", "--force").ok()
    assert json.loads(result.text)["target"] == str(source)


@pytest.mark.parametrize("name", ["new\nline.wav", "esc\x1b[31m.wav", "latin\udce9.wav"])
def test_unprintable_names_stay_on_one_line(tmp_path: Path, mono: Path, name: str) -> None:
    source = tmp_path / name
    write_audio(tmp_path / "plain.wav", 2000).rename(source)
    shown = name.encode("unicode_escape").decode()
    result = run("encode", source, "-m", mono, "--json").ok()
    assert json.loads(result.text)["source"] == str(source)
    result = run("encode", source, "-m", mono)
    result.refused(1, shown.replace(".wav", ".ecdc"))
    assert len(result.stderr.splitlines()) == 1
    packed = source.with_suffix(".ecdc")
    assert "\x1b" not in run("info", packed).ok().text
    [line] = run("verify", packed).ok().text.splitlines()
    assert line == f"{tmp_path}/{shown.replace('.wav', '.ecdc')}: ok"
    assert len(run("info", tmp_path / f"no {name}").refused(1, shown).stderr.splitlines()) == 1


def test_names_that_begin_with_a_dash(
    tmp_path: Path, mono: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_audio(Path("-f.wav"), 1000)
    run("encode", "-m", mono, "--", "-f.wav").ok()
    run("decode", "-m", mono, "./-f.ecdc", "out.wav").ok()
    assert tree(tmp_path) == {"-f.wav", "-f.ecdc", "out.wav"}


def test_links_are_read_and_written_beside(tmp_path: Path, mono: Path) -> None:
    (tmp_path / "far").mkdir()
    write_audio(tmp_path / "far" / "a.wav", 1000)
    (tmp_path / "near.wav").symlink_to(tmp_path / "far" / "a.wav")
    run("encode", tmp_path / "near.wav", "-m", mono).ok()
    assert tree(tmp_path) == {"far/a.wav", "near.wav", "near.ecdc"}


# Terminals


@pytest.mark.slow
def test_progress_bar_on_a_terminal_only(tmp_path: Path, mono: Path) -> None:
    source = write_audio(tmp_path / "[b]a.wav", 240_000)
    plain = run("encode", source, "-m", mono, environment={"FORCE_COLOR": "1"}).ok()
    assert "audio 0:" not in plain.stderr
    assert "\x1b[?25l" not in plain.stderr
    shown = run("encode", source, "-m", mono, "-f", terminal=("stderr",)).ok()
    assert re.search(r"a\.wav +\[#+-*\] +\d+ %  audio 0:\d\d of 0:10", shown.stderr)
    assert "[b]a.wav" in shown.stderr
    assert shown.stderr.count("\x1b[?25h") == shown.stderr.count("\x1b[?25l") > 0
    quiet = run("encode", source, "-m", mono, "-f", "-q", terminal=("stderr",)).ok()
    assert quiet.stderr == ""


def test_no_color_is_honoured(tmp_path: Path, mono: Path) -> None:
    missing = tmp_path / "missing.wav"
    terminal = ("stdout", "stderr")
    coloured = run("encode", missing, "-m", mono, terminal=terminal)
    plain = run("encode", missing, "-m", mono, terminal=terminal, environment={"NO_COLOR": "1"})
    assert (coloured.code, plain.code) == (1, 1)
    assert "\x1b[1;31m" in coloured.stderr
    assert "31m" not in plain.stderr
    run("encode", write_audio(tmp_path / "a.wav", 3000), "-m", mono).ok()
    result = run("info", tmp_path / "a.ecdc", terminal=terminal, environment={"NO_COLOR": "1"})
    assert "\x1b[3" not in result.ok().text
