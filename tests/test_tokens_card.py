"""The dataset card: what it says, and that it harms no other README.md."""

from pathlib import Path
from typing import Any

import pytest
from token_samples import FORMATS, make_item, write

from encodec_cli.tokens import Arrangement, CardFacts, write_card

yaml = pytest.importorskip("yaml")


def facts_of(to: str, path: Path, **more: Any) -> CardFacts:
    command = ["encodec-cli", "tokens", "my talks", "--to", to]
    known = {"format": to, "files": [path], "command": command, "items": 1234, "seconds": 36_000.0}
    return CardFacts(**{**known, **more})


@pytest.mark.parametrize("to", FORMATS)
def test_what_it_says(to: str, tmp_path: Path) -> None:
    path = write(tmp_path, to, [make_item(text="x")])
    facts = facts_of(to, path, failed=3, kinds={"text": "text", "a|b": "list<int>"})
    assert write_card(tmp_path, facts)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    for words in (
        "| recordings | 1,234 |",
        "| hours | 10.00 |",
        "| failed | 3 |",
        "| model | tiny |",
        f"| SHA-256 of its weights | {'0a' * 32} |",
        "| codebooks | 3 |",
        "| frames | 75 a second, 320 samples each |",
        "| codes | 10 bits, 1024 in a codebook |",
        "| bandwidth | 2.25 kb/s |",
        "```sh\nencodec-cli tokens 'my talks' --to",
        "| text | text |",
        r"| a\|b | list\<int> |",
    ):
        assert words in text


def test_its_head_names_the_files(tmp_path: Path) -> None:
    for to, pattern in (("parquet", "tokens-*.parquet"), ("webdataset", "tokens-*.tar")):
        write_card(tmp_path, facts_of(to, write(tmp_path, to, [make_item()])))
        _, head, _ = (tmp_path / "README.md").read_text(encoding="utf-8").split("---\n", 2)
        [config] = yaml.safe_load(head)["configs"]
        assert config["data_files"] == [{"split": "train", "path": pattern}]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (Arrangement(), "| arranged | \\[K, T] uint16 |"),
        (Arrangement(layout="TK", code_dtype="int64"), "| arranged | \\[T, K] int64 |"),
        (Arrangement(pattern="delay"), "codebook k is k frames late |"),
        (
            Arrangement(flat="frames", offset=9, bos=1, separator=0),
            "frame after frame; code c of codebook k is 9 + 1024 k + c; separator 0; bos 1 |",
        ),
    ],
)
def test_it_says_how_codes_are_arranged(how: Arrangement, words: str, tmp_path: Path) -> None:
    path = write(tmp_path, "parquet", [make_item()], how)
    write_card(tmp_path, facts_of("parquet", path, arrangement=how))
    assert words in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_it_is_written_anew_but_no_other_is(tmp_path: Path) -> None:
    path = write(tmp_path, "npz", [make_item()])
    assert write_card(tmp_path, facts_of("npz", path))
    assert write_card(tmp_path, facts_of("npz", path, items=7))
    assert "| recordings | 7 |" in (tmp_path / "README.md").read_text(encoding="utf-8")
    (tmp_path / "README.md").write_bytes(b"\xff mine")
    assert not write_card(tmp_path, facts_of("npz", path))
    assert (tmp_path / "README.md").read_bytes() == b"\xff mine"
    (tmp_path / "README.md").unlink()
    assert not write_card(tmp_path, facts_of("npz", path, files=[]))
    assert not (tmp_path / "README.md").exists()


def test_words_of_a_command_do_not_end_its_block(tmp_path: Path) -> None:
    path = write(tmp_path, "npz", [make_item()])
    command = ["x", "```\n# not a heading", "\x1b[2J"]
    write_card(tmp_path, facts_of("npz", path, command=command))
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "\n# not" not in text
    assert "\x1b" not in text
    assert "````sh\n" in text
