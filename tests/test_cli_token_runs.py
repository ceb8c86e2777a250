"""`tokens` on a corpus: parts, several processes, restarts, failures, what is said."""

import json
import signal
import time
from pathlib import Path

import pytest
from cli_samples import PATIENCE_SECONDS, process, run, write_audio

from encodec_cli.io.shares import Share
from encodec_cli.tokens import read_items
from encodec_cli.tokens.locking import locked_folder

COUNT = 12


@pytest.fixture(scope="module")
def talks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("talks")
    for number in range(COUNT):
        write_audio(folder / f"{number:02d}.wav", 3000 + 2500 * (number % 4))
    return folder


@pytest.fixture
def options(talks: Path, mono: Path) -> tuple[str, ...]:
    """About three recordings a shard."""
    return (str(talks), "-r", "--to", "webdataset", "-m", str(mono), "--shard-size", "0.001")


@pytest.fixture(scope="module")
def whole(talks: Path, mono: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("whole")
    options = ("-r", "--to", "webdataset", "-m", mono, "--shard-size", "0.001")
    run("tokens", talks, *options, "-o", out, "--threads", "1").ok()
    return shards(out)


def shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("tokens-*"))}


def keys_in(folder: Path) -> list[str]:
    return [item.key for path in sorted(folder.glob("tokens-*")) for item in read_items(path)]


def test_parts_write_into_one_folder_what_one_run_writes(
    options: tuple[str, ...], whole: dict[str, bytes], tmp_path: Path
) -> None:
    assert len(whole) == 3
    for part in ("3/3", "1/3", "2/3"):
        assert len(shards(tmp_path)) < len(whole)
        run("tokens", *options, "-o", tmp_path, "--part", part).ok()
    assert shards(tmp_path) == whole
    again = run("tokens", *options, "-o", tmp_path, "--part", "2/3")
    again.refused(1, "holds shards already", "--skip-existing")
    done = run("tokens", *options, "-o", tmp_path, "--part", "2/3", "--skip-existing").ok()
    assert f"of {COUNT} inputs are in shards, skipped" in done.stderr
    assert shards(tmp_path) == whole


def test_parts_of_single_files(talks: Path, mono: Path, tmp_path: Path) -> None:
    for part in ("1/2", "2/2"):
        options = ("-r", "--to", "npz", "-m", mono, "-o", tmp_path, "--part", part)
        said = run("tokens", talks, *options).ok().stderr
        assert f"{COUNT // 2} files: {COUNT // 2} done" in said
    found = sorted(path.stem for path in tmp_path.glob("*.npz"))
    assert found == [f"{i:02d}" for i in range(COUNT)]


def test_a_part_is_done_by_one_run_at_a_time(options: tuple[str, ...], tmp_path: Path) -> None:
    arguments = ("tokens", *options, "-o", tmp_path)
    with locked_folder(tmp_path, Share(2, 3)):
        run(*arguments, "--part", "2/3").refused(1, "another run does part 2/3")
        run(*arguments).refused(1, "another run writes shards here")
        run(*arguments, "--part", "1/2").refused(1, "parts of 3 are being done, not of 2")
        run(*arguments, "--part", "1/3").ok()
    with locked_folder(tmp_path, None):
        run(*arguments, "--part", "2/3").refused(1, "another run writes shards here")
    run(*arguments, "--part", "2/3").ok()


@pytest.mark.slow
def test_a_killed_part_is_done_again_by_itself(
    options: tuple[str, ...], whole: dict[str, bytes], tmp_path: Path
) -> None:
    line = ("tokens", *options, "-o", tmp_path, "--skip-existing", "--threads", "1")
    with process(*line, "--part", "1/2") as child:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not shards(tmp_path):
            assert child.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.002)
        child.send_signal(signal.SIGKILL)
        child.wait()
    run(*line, "--part", "2/2").ok()
    run(*line, "--part", "1/2").ok()
    assert shards(tmp_path) == whole
    assert list(tmp_path.rglob(".*.partial")) == []


@pytest.mark.slow
def test_a_process_for_each_device_makes_the_same_shards(
    options: tuple[str, ...], whole: dict[str, bytes], tmp_path: Path
) -> None:
    result = run("tokens", *options, "-o", tmp_path, "--device", "cpu,cpu", "--threads", "2").ok()
    assert f"{COUNT} files: {COUNT} done" in result.stderr
    assert shards(tmp_path) == whole


@pytest.mark.slow
def test_single_files_by_a_process_for_each_device(talks: Path, mono: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.wav").touch()
    common = ("-r", "--to", "npz", "-m", mono)
    run("tokens", talks, *common, "-o", tmp_path / "a").ok()
    several = ("-o", tmp_path / "b", "--device", "cpu,cpu", "--json")
    result = run("tokens", tmp_path / "bad.wav", talks, *common, *several)
    assert result.code == 1
    assert len(result.errors) == 1
    *lines, last = [json.loads(line) for line in result.text.splitlines()]
    assert {line["key"] for line in lines} == {f"{i:02d}" for i in range(COUNT)}
    assert (last["summary"]["done"], last["summary"]["failed"]) == (COUNT, 1)
    for path in (tmp_path / "a").glob("*.npz"):
        assert (tmp_path / "b" / path.name).read_bytes() == path.read_bytes()


# What fails


def failures(folder: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (folder / "failures.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("to", ["webdataset", "npz"])
def test_failures_are_listed_until_they_are_mended(
    to: str, talks: Path, mono: Path, tmp_path: Path
) -> None:
    corpus, out = tmp_path / "in", tmp_path / "out"
    for name in ("a", "b", "c"):
        write_audio(corpus / f"{name}.wav", 3000)
    whole = (corpus / "b.wav").read_bytes()
    (corpus / "b.wav").write_bytes(whole[:3000])
    (corpus / "c.wav").write_bytes(b"")
    options = (corpus, "-r", "--to", to, "-m", mono, "-o", out)
    result = run("tokens", *options)
    assert result.code == 1
    assert "3 files: 1 done, 2 failed" in result.stderr
    assert [(f["key"], f["source"]) for f in failures(out)] == [("b", "b.wav"), ("c", "c.wav")]
    assert all(str(corpus / f["source"]) in f["reason"] for f in failures(out))

    (corpus / "b.wav").write_bytes(whole)
    result = run("tokens", *options, "--skip-existing")
    assert result.code == 1
    assert "3 files: 1 done, 1 skipped, 1 failed" in result.stderr
    assert [f["key"] for f in failures(out)] == ["c"]

    (corpus / "c.wav").write_bytes(whole)
    run("tokens", *options, "--skip-existing").ok()
    assert not (out / "failures.jsonl").exists()
    if to == "webdataset":
        assert keys_in(out) == ["a", "b", "c"]


@pytest.mark.slow
def test_parts_share_the_list_of_failures(talks: Path, mono: Path, tmp_path: Path) -> None:
    for name in "abcd":
        (tmp_path / f"{name}.wav").write_bytes(bytes(1_000_000))  # not one of the formats
    options = ("-r", "--to", "webdataset", "-m", mono, "-o", tmp_path / "out")
    options += ("--shard-size", "0.00001")
    for part in ("1/2", "2/2"):
        assert run("tokens", tmp_path, talks, *options, "--part", part).code == 1
    assert sorted(f["key"] for f in failures(tmp_path / "out")) == list("abcd")


# What is said


def test_a_line_of_json_for_each_shard(
    options: tuple[str, ...], whole: dict[str, bytes], tmp_path: Path
) -> None:
    result = run("tokens", *options, "-o", tmp_path, "--json").ok()
    *lines, last = [json.loads(line) for line in result.text.splitlines()]
    assert [name for line in lines for name in line["files"]] == list(whole)
    assert [line["number"] for line in lines] == list(range(len(whole)))
    assert sum(line["items"] for line in lines) == COUNT == last["summary"]["done"]
    assert sum(line["seconds"] for line in lines) == pytest.approx(last["summary"]["seconds"])


def test_a_terminal_shows_hours_and_what_is_left(options: tuple[str, ...], tmp_path: Path) -> None:
    result = run("tokens", *options, "-o", tmp_path, terminal=("stderr",)).ok()
    assert " of ~0.00 h" in result.stderr
    assert f"{COUNT} items" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--part", "0/3"), "part 0/3: give I/N"),
        (("--part", "4/3"), "part 4/3: give I/N"),
        (("--part", "2"), "--part 2: give I/N"),
        (("--part", "1/2", "--ray"), "--part or --ray, not both"),
        (("--ray-workers", "2"), "--ray-workers: is for --ray"),
        (("--ray", "--device", "cuda:0,1"), "--device: name one for --ray"),
        (("--device", "cpu,nothing"), "no device that codes"),
    ],
)
def test_contradictions_of_where_to_run(
    arguments: tuple[str, ...], words: str, options: tuple[str, ...], tmp_path: Path
) -> None:
    run("tokens", *options, "-o", tmp_path / "o", *arguments).refused(2, words)
    assert not (tmp_path / "o").exists()
