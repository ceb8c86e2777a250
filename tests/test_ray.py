"""`--ray`: the same outputs as here, also when a worker is lost. Each test starts a cluster."""

import json
import os
import signal
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from cli_samples import command, process, run, write_audio
from ray_samples import PATIENCE_SECONDS, ray_environment

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("ray") is None,
        reason="Ray is not installed: pip install 'encodec-cli[ray]'",
    ),
]

TWO = ("--ray", "--ray-workers", "2")


@pytest.fixture(scope="module")
def talks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen recordings of about twenty seconds."""
    folder = tmp_path_factory.mktemp("talks")
    for number in range(16):
        write_audio(folder / f"{number:02d}.wav", 480_000 + 1000 * number)
    return folder


def on_ray(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """A command in a process of its own, which brings the cluster down when it ends."""
    with ray_environment() as settings:
        done = subprocess.run(
            command(*arguments, *TWO),
            env=settings,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
    assert "Traceback" not in done.stderr
    return done


def workers_of(pid: int) -> list[int]:
    """Processes below `pid` that hold models."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            title = (place / "cmdline").read_bytes()
            above = int(place.name)
            while above not in (0, 1, pid):
                stat = Path(f"/proc/{above}/stat").read_text()
                above = int(stat.rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if title.startswith(b"ray::") and b"_Worker" in title and above == pid:
            found.append(int(place.name))
    return found


def shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("tokens-*"))}


def test_a_lost_worker_loses_nothing(talks: Path, mono: Path, tmp_path: Path) -> None:
    options = ("-r", "--to", "webdataset", "-m", mono, "--shard-size", "0.01")
    run("tokens", talks, *options, "-o", tmp_path / "here").ok()
    expected = shards(tmp_path / "here")
    assert len(expected) == 16
    (tmp_path / "bad.wav").write_bytes(b"RIFF nothing")
    line = ("tokens", talks, tmp_path / "bad.wav", *options, "-o", tmp_path / "ray", *TWO)
    with ray_environment() as settings, process(*line, "--json", env=settings) as child:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not shards(tmp_path / "ray"):
            assert child.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(workers_of(child.pid)[0], signal.SIGKILL)
        assert len(shards(tmp_path / "ray")) < 16
        out, err = child.communicate(timeout=PATIENCE_SECONDS)
    assert child.returncode == 1, err  # for the bad one
    assert b"Traceback" not in err
    assert shards(tmp_path / "ray") == expected
    *lines, last = [json.loads(each) for each in out.splitlines()]
    assert sorted(name for each in lines for name in each["files"]) == sorted(expected)
    assert (last["summary"]["done"], last["summary"]["failed"]) == (16, 1)
    [failure] = (tmp_path / "ray" / "failures.jsonl").read_text().splitlines()
    assert json.loads(failure)["key"] == "bad"


def test_encode_on_ray_is_encode(talks: Path, mono: Path, tmp_path: Path) -> None:
    options = ("-r", "-m", mono, "--n-q", "2")
    run("encode", talks, *options, "-o", tmp_path / "here").ok()
    done = on_ray("encode", talks, *options, "-o", tmp_path / "ray", "--json")
    assert done.returncode == 0, done.stderr
    for path in (tmp_path / "here").glob("*.ecdc"):
        assert (tmp_path / "ray" / path.name).read_bytes() == path.read_bytes()
    *lines, last = [json.loads(each) for each in done.stdout.splitlines()]
    assert len(lines) == last["summary"]["done"] == 16


def test_evaluate_on_ray_measures_the_same(mono: Path, tmp_path: Path) -> None:
    for name in "ab":
        write_audio(tmp_path / f"{name}.wav", 30_000, level=0.2 if name == "a" else 0.3)
    options = ("-r", "-m", mono, "--bandwidths", "1.5,3", "--no-speech", "--json")
    here = run("evaluate", tmp_path, *options).ok()
    done = on_ray("evaluate", tmp_path, *options)
    assert done.returncode == 0, done.stderr
    assert measured(done.stdout) == measured(here.text)
    assert len(measured(here.text)) == 4


def measured(text: str) -> list[dict[str, object]]:
    """Rows without speeds, in the order of recordings and rates."""
    rows = [json.loads(line) for line in text.splitlines()]
    kept = [{name: row[name] for name in row if "speed" not in name} for row in rows]
    return sorted(kept, key=lambda row: (row["recording"], row["bandwidth"]))


def test_what_cannot_be_done_there_is_refused(talks: Path, mono: Path, tmp_path: Path) -> None:
    here = ("-m", mono, "-o", tmp_path, "--ray")
    run("encode", talks / "00.wav", *here, "--delete-input").refused(2, "leave out --delete-input")
    run("encode", "-", "-", "-m", mono, "--ray").refused(2, "no pipes")
    run("tokens", "-", "--to", "parquet", *here).refused(2, "workers cannot read standard input")
