"""The recipes of docs/corpora.md: what they write, as the program that it is for reads it."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from cli_samples import REPOSITORY, environment, run, write_audio
from ray_samples import PATIENCE_SECONDS, ray_environment

from encodec_cli.tokens import read_items

pytestmark = pytest.mark.slow
PAGE = (REPOSITORY / "docs" / "corpora.md").read_text(encoding="utf-8")
SHELL = 'encodec-cli() { python -m encodec_cli "$@"; }\nset -e\n'
STANDIN = Path(__file__).with_name("slurm_standin.py")
COUNT = 8


def blocks(title: str, language: str) -> list[str]:
    """What a section of the page has in `language`."""
    section = PAGE.split(f"### {title}\n")[1].split("\n### ")[0]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


def recipe(title: str, folder: Path) -> Path:
    """Run the commands of a section of the page in `folder`."""
    (folder / "samples").symlink_to(REPOSITORY / "samples")
    for block in blocks(title, "sh"):
        done = subprocess.run(
            ["bash", "-c", SHELL + block],
            cwd=folder,
            env=environment(),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    return folder


def needs(package: str) -> Any:
    return pytest.mark.skipif(find_spec(package) is None, reason=f"{package} is not installed")


def test_nemo(tmp_path: Path) -> None:
    table = recipe("From NeMo", tmp_path) / "nemo-tokens" / "tokens-00000.parquet"
    rows = pyarrow.parquet.read_table(table).to_pylist()
    assert [(row["text"], row["lang"]) for row in rows] == [("first", "en"), ("second", "en")]
    shapes = [(len(row["codes"]), len(row["codes"][0])) for row in rows]
    assert shapes == [(8, 601), (8, 151)]


@needs("lhotse")
def test_lhotse(tmp_path: Path) -> None:
    folder = recipe("From lhotse to Shar", tmp_path) / "lhotse-tokens" / "shar"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package's own
        import lhotse

        [cut] = lhotse.CutSet.from_shar(in_dir=folder)
        codes = cut.load_codes()
    assert codes.shape == (151, 8)
    assert cut.supervisions[0].text == "hello"


@needs("datasets")
def test_hugging_face(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = recipe("From Hugging Face", tmp_path) / "hub-tokens"
    monkeypatch.setitem(os.environ, "HF_HOME", str(tmp_path / "cache"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import datasets

        pattern = str(folder / "*.parquet")
        cache = str(tmp_path / "cache")
        [row] = datasets.load_dataset("parquet", data_files=pattern, split="train", cache_dir=cache)
    assert row["text"] == "hello"
    assert (len(row["codes"]), row["n_q"]) == (8, 8)


def test_parts_by_hand(tmp_path: Path) -> None:
    folder = recipe("On SLURM", tmp_path) / "parts"
    keys = sorted(item.key for path in folder.glob("*.tar") for item in read_items(path))
    assert keys == ["music", "speech"]
    assert "| recordings | 2 |" in (folder / "README.md").read_text(encoding="utf-8")


# Several machines


def corpus(folder: Path) -> None:
    """`train.json`, and the recordings that it names."""
    rows = []
    for number in range(COUNT):
        samples = 10_000 + 3000 * (number % 3)
        write_audio(folder / "audio" / f"{number}.wav", samples)
        rows.append({"audio_filepath": f"audio/{number}.wav", "text": f"number {number}"})
    lines = "".join(f"{json.dumps(row)}\n" for row in rows)
    (folder / "train.json").write_text(lines, encoding="utf-8")


def programs(folder: Path) -> None:
    """`encodec-cli` and `sbatch` in a folder for PATH."""
    folder.mkdir()
    lines = {"encodec-cli": f"{sys.executable} -m encodec_cli", "sbatch": f"python {STANDIN}"}
    for name, line in lines.items():
        (folder / name).write_text(f'#!/bin/bash\nexec {line} "$@"\n', encoding="utf-8")
        (folder / name).chmod(0o755)


def shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.tar"))}


def expected(folder: Path, mono: Path, *options: str) -> dict[str, bytes]:
    """The shards of a run in one process."""
    given = ("--manifest", folder / "train.json", "--to", "webdataset", "-m", mono)
    run("tokens", *given, "-o", folder / "expected", *options).ok()
    return shards(folder / "expected")


def test_slurm(mono: Path, tmp_path: Path) -> None:
    """The script as it stands; the machine of a part is lost, and SLURM starts the part again."""
    corpus(tmp_path)
    programs(tmp_path / "bin")
    [script] = blocks("On SLURM", "bash")
    (tmp_path / "tokens.sh").write_text(script, encoding="utf-8")
    first, again = blocks("On SLURM", "console")[0].splitlines()
    size = ("--shard-size", "0.0005")
    assert first.endswith("tokens.sh --shard-size 20")
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    settings = environment(PATH=path, ENCODEC_CLI_MODEL=str(mono))
    line = ["bash", "-c", first.replace("--shard-size 20", " ".join(size))]
    with subprocess.Popen(line, cwd=tmp_path, env=settings, stdout=subprocess.PIPE) as batch:
        deadline = time.monotonic() + PATIENCE_SECONDS
        started = tmp_path / "slurm-1_2.pid"
        while not (tmp_path / "tokens").is_dir():
            assert batch.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
        os.killpg(int(started.read_text()), signal.SIGKILL)
        assert batch.wait(PATIENCE_SECONDS) == 0
    whole = expected(tmp_path, mono, *size)
    assert len(whole) == COUNT
    assert shards(tmp_path / "tokens") == whole
    (tmp_path / "tokens" / "tokens-00002.tar").unlink()
    line = ["bash", "-c", again.replace("--shard-size 20", " ".join(size))]
    subprocess.run(line, cwd=tmp_path, env=settings, check=True, timeout=PATIENCE_SECONDS)
    assert shards(tmp_path / "tokens") == whole


@needs("ray")
def test_ray_of_this_machine(mono: Path, tmp_path: Path) -> None:
    corpus(tmp_path)
    line = blocks("On Ray", "console")[0]
    with ray_environment(ENCODEC_CLI_MODEL=str(mono)) as settings:
        on_ray(line, tmp_path, settings)
        home = Path(settings["HOME"])
        assert not (home / ".ray").exists()  # a token that later clusters would ask for
    assert shards(tmp_path / "tokens") == expected(tmp_path, mono)


@needs("ray")
def test_ray_cluster(mono: Path, tmp_path: Path) -> None:
    """Two nodes, both of this machine: only the head's name is not the page's."""
    corpus(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    block = blocks("On Ray", "console")[1]
    block = block.replace("ray-head:6379", f"127.0.0.1:{port}").replace("6379", str(port))
    head, other, line = block.splitlines()
    own = ["--block", "--num-cpus=2", "--object-store-memory=100000000", "--disable-usage-stats"]
    with ExitStack() as stack:
        settings = stack.enter_context(ray_environment(ENCODEC_CLI_MODEL=str(mono)))
        del settings["RAY_ADDRESS"]  # the last line has its own
        stack.enter_context(node([*head.split(), *own], settings))
        stack.enter_context(node([*other.split(), *own], settings))
        on_ray(line, tmp_path, settings)
    assert shards(tmp_path / "tokens") == expected(tmp_path, mono)


def on_ray(line: str, folder: Path, settings: dict[str, str]) -> None:
    done = subprocess.run(
        ["bash", "-c", SHELL + line],
        cwd=folder,
        env=settings,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    assert f"{COUNT} files: {COUNT} done" in done.stderr


@contextmanager
def node(line: list[str], settings: dict[str, str]) -> Iterator[None]:
    """A machine of a cluster, until the block ends."""
    child = subprocess.Popen(
        line,
        env=settings,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert child.stdout is not None
    try:
        said = b""
        while b"block forever" not in said:
            line_of = child.stdout.readline()
            assert line_of, said.decode()
            said += line_of
        yield
    finally:
        child.terminate()
        child.communicate()


# Restarts


def test_stopping_failing_going_on(tmp_path: Path) -> None:
    folder = recipe("Stopping, failing, going on", tmp_path) / "shards"
    names = [path.name for path in sorted(folder.glob("*.tar"))]
    assert names == ["tokens-00000.tar", "tokens-00001.tar"]
    assert not (folder / "failures.jsonl").exists()
