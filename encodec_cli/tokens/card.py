"""A dataset card: README.md in a folder of tokens, as the Hugging Face Hub reads it.

What it says of codes and model is read from the first file, so a run that finds all done can write
it too. Source of its head: the Hub's dataset cards, whose `configs` name the files to load.
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from encodec_cli.io.files import atomic_output
from encodec_cli.io.text import printable
from encodec_cli.tokens.columns import ColumnKinds
from encodec_cli.tokens.files import read_items
from encodec_cli.tokens.formats import SHARD_FORMATS
from encodec_cli.tokens.item import BadItem, TokenItem
from encodec_cli.tokens.writing import Arrangement

__all__ = ["CARD_NAME", "CardFacts", "write_card"]

CARD_NAME = "README.md"
_MARK = "<!-- written by encodec-cli tokens, anew at the end of each run -->"
_LOADING: Mapping[str, str] = MappingProxyType(
    {
        "npz": 'numpy.load("KEY.npz")["codes"]',
        "safetensors": 'safetensors.numpy.load_file("KEY.safetensors")["codes"]',
        "parquet": 'datasets.load_dataset("parquet", data_files="tokens-*.parquet", split="train")',
        "webdataset": 'webdataset.WebDataset(sorted(glob.glob("tokens-*.tar"))).decode()',
        "jsonl": 'datasets.load_dataset("json", data_files="tokens-*.jsonl", split="train")',
        "shar": 'lhotse.CutSet.from_shar(in_dir="shar")  # cut.load_codes() is [T, K]',
    }
)
_HUB = ("jsonl", "parquet", "webdataset")
"""Formats that the `datasets` package loads by the head of the card."""


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """What a card says of a run.

    Attributes:
        format: as `--to` names it.
        files: one file of each shard (its first, see `ShardFormat.files`), or one of each item.
        command: that wrote it, by words.
        items: recordings in all files.
        seconds: of them, as far as that is known.
        failed: recordings that are not there.
        arrangement: of the codes.
        kinds: of the corpus's columns.
    """

    format: str
    files: Sequence[Path]
    command: Sequence[str]
    items: int
    seconds: float
    failed: int = 0
    arrangement: Arrangement = field(default_factory=Arrangement)
    kinds: ColumnKinds = field(default_factory=dict)


def write_card(folder: Path, facts: CardFacts) -> bool:
    """Write the card of `folder`; whether it was. A README.md that is no such card stays.

    Raises:
        ContainerError: the first file cannot be read.
        OutputError: the card cannot be written.
    """
    path = folder / CARD_NAME
    if not facts.files or (path.exists() and not _is_card(path)):
        return False
    first = next(iter(read_items(_with_codes(facts.files[0]))), None)
    with atomic_output(path, force=True) as file:
        file.write(_card(folder, facts, first).encode())
    return True


def _is_card(path: Path) -> bool:
    try:
        return _MARK in path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False


def _with_codes(path: Path) -> Path:
    """The file of a shard that has the codes, of a Shar shard's two."""
    number = path.name.removeprefix("cuts.").removesuffix(".jsonl.gz")
    return path if number == path.name else path.with_name(f"codes.{number}.tar")


def _card(folder: Path, facts: CardFacts, first: TokenItem | BadItem | None) -> str:
    command = printable(shlex.join(facts.command))
    fence = "`" * max(3, 1 + _longest_run(command))
    parts = [
        _head(facts),
        _MARK,
        f"# {printable(folder.resolve().name) or 'tokens'}",
        "Recordings as codes of a neural audio codec, written by encodec-cli.",
        _table(("", ""), _numbers(facts, first)),
        f"{fence}sh\n{command}\n{fence}",
        f"```python\n{_LOADING[facts.format]}\n```",
    ]
    if facts.kinds:
        parts += ["Columns of the corpus:", _table(("column", "kind"), facts.kinds)]
    return "\n\n".join(parts) + "\n"


def _head(facts: CardFacts) -> str:
    lines = ["tags:", "- audio-codes", "- neural-audio-codec"]
    if facts.format in _HUB:
        pattern = SHARD_FORMATS[facts.format].files[0].format("*")
        data = f"- split: train\n    path: {json.dumps(pattern)}"
        lines += [f"configs:\n- config_name: default\n  data_files:\n  {data}"]
    return "\n".join(["---", *lines, "---"])


def _numbers(facts: CardFacts, first: TokenItem | BadItem | None) -> dict[str, str]:
    hours = facts.seconds / 3600
    rows = {
        "format": facts.format,
        "files": f"{len(facts.files):,}",
        "recordings": f"{facts.items:,}",
        "hours": f"{hours:,.2f}" if hours >= 1 else f"{hours:.4f}",
        "failed": f"{facts.failed:,}" if facts.failed else "",
    }
    if isinstance(first, TokenItem):
        info, books = first.info, first.codes.shape[0]
        rows["model"] = info.model or ""
        rows["SHA-256 of its weights"] = info.model_sha256 or ""
        rows["sample rate"] = f"{info.sample_rate} Hz" if info.sample_rate else ""
        rows["codebooks"] = str(books)
        if info.sample_rate and info.hop:
            rate = info.sample_rate / info.hop
            rows["frames"] = f"{rate:g} a second, {info.hop} samples each"
            if info.bits:
                rows["codes"] = f"{info.bits} bits, {1 << info.bits} in a codebook"
                rows["bandwidth"] = f"{books * info.bits * rate / 1000:g} kb/s"
        rows["arranged"] = _arranged(facts, 1 << (info.bits or 0))
    return {name: value for name, value in rows.items() if value}


def _arranged(facts: CardFacts, bins: int) -> str:
    """The shape of the codes in words."""
    how = facts.arrangement
    numbers = "" if facts.format == "jsonl" else f" {how.code_dtype or 'uint16'}"
    if how.flat is not None:
        order = "frame after frame" if how.flat == "frames" else "codebook after codebook"
        text = f"flat{numbers}, {order}; code c of codebook k is {how.offset} + {bins} k + c"
        named = {"separator": how.separator, "bos": how.bos, "eos": how.eos}
        return "".join([text, *(f"; {n} {v}" for n, v in named.items() if v is not None)])
    shape = "[T, K]" if how.layout == "TK" or facts.format == "shar" else "[K, T]"
    late = "" if how.pattern == "none" else "; codebook k is k frames late"
    return f"{shape}{numbers}{late}"


def _table(head: tuple[str, str], rows: Mapping[str, str]) -> str:
    lines = [head, ("---", "---"), *rows.items()]
    return "\n".join(f"| {_cell(name)} | {_cell(value)} |" for name, value in lines)


def _cell(text: str) -> str:
    escaped = printable(text)
    for character in "\\|`<*_[":
        escaped = escaped.replace(character, f"\\{character}")
    return escaped


def _longest_run(text: str) -> int:
    longest = run = 0
    for character in text:
        run = run + 1 if character == "`" else 0
        longest = max(longest, run)
    return longest
