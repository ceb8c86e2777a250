"""The recipes of docs/corpora.md: what they write, as the program that it is for reads it."""

import os
import re
import subprocess
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from cli_samples import REPOSITORY, environment

from encodec_cli.tokens import read_items

pytestmark = pytest.mark.slow
PAGE = (REPOSITORY / "docs" / "corpora.md").read_text(encoding="utf-8")
SHELL = 'encodec-cli() { python -m encodec_cli "$@"; }\nset -e\n'


def recipe(title: str, folder: Path) -> Path:
    """Run the commands of a section of the page in `folder`."""
    section = PAGE.split(f"### {title}\n")[1].split("\n### ")[0]
    (folder / "samples").symlink_to(REPOSITORY / "samples")
    for block in re.findall(r"```sh\n(.*?)```", section, re.DOTALL):
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


def test_stopping_failing_going_on(tmp_path: Path) -> None:
    folder = recipe("Stopping, failing, going on", tmp_path) / "shards"
    names = [path.name for path in sorted(folder.glob("*.tar"))]
    assert names == ["tokens-00000.tar", "tokens-00001.tar"]
    assert not (folder / "failures.jsonl").exists()
