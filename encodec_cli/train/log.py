"""`log.jsonl` of a run: one line per report or validation."""

import json
from pathlib import Path
from typing import Any

__all__ = ["log", "shorten_log"]

_NAME = "log.jsonl"


def log(folder: Path, line: dict[str, Any]) -> None:
    """Add a line; it has the `step` that it is about."""
    with (folder / _NAME).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def shorten_log(folder: Path, step: int) -> None:
    """Drop what was logged after `step`: those steps are taken, and logged, again."""
    path = folder / _NAME
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if line.endswith("\n") and _logged_step(line) <= step]
    if len(kept) < len(lines):
        temporary = folder / f"{_NAME}.partial"
        temporary.write_text("".join(kept), encoding="utf-8")
        temporary.replace(path)


def _logged_step(line: str) -> int:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return 0  # not a line of ours; keep it
