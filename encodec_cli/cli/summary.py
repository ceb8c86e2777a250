"""What became of a run of many files."""

import time
from dataclasses import dataclass, field
from typing import Any

from encodec_cli.cli.console import count, print_json, rounded, say
from encodec_cli.cli.outcome import duration_words

__all__ = ["Tally"]


@dataclass
class Tally:
    """Counts files as they end.

    Attributes:
        many: whether there is a summary to give.
        rehearsal: whether `done` is only what would be done.
        done: files that were made.
        skipped: whose outputs were there, or are another run's to make.
        failed: with an error each.
        not_taken: files in folders that may hold sound, but cannot be read; and why.
        seconds: of audio done.
        bytes: of `.ecdc` written or read for it.
    """

    many: bool = False
    rehearsal: bool = False
    done: int = 0
    skipped: int = 0
    failed: int = 0
    not_taken: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    bytes: int = 0
    started: float = field(default_factory=time.monotonic)

    def add(self, seconds: float, size: int) -> None:
        """One more file is done."""
        self.done += 1
        self.seconds += seconds
        self.bytes += size

    def as_dict(self) -> dict[str, Any]:
        """The summary as JSON has it; rates are null where nothing was done."""
        elapsed = time.monotonic() - self.started
        return rounded(
            {
                "files": self.done + self.skipped + self.failed + len(self.not_taken),
                "done": self.done,
                "skipped": self.skipped,
                "failed": self.failed,
                "not_taken": len(self.not_taken),
                "not_taken_files": dict(self.not_taken),
                "seconds": self.seconds,
                "bytes": self.bytes,
                "kbps": self.bytes * 8 / self.seconds / 1000 if self.seconds else None,
                "elapsed_seconds": elapsed,
                "speed": self.seconds / max(elapsed, 1e-9) if self.seconds else None,
            }
        )

    def tell(self, *, quiet: bool, json: bool) -> None:
        """The last line of a run of many files; as JSON, an object that holds only `summary`."""
        if not self.many:
            return
        if json:
            print_json({"summary": self.as_dict()})
        elif not quiet:
            for line in self._lines():
                say(line)

    def _lines(self) -> list[str]:
        facts = self.as_dict()
        parts = [f"{self.done:,} {'to do' if self.rehearsal else 'done'}"]
        for name in ("skipped", "failed", "not_taken"):
            if facts[name]:
                parts.append(f"{facts[name]:,} {name.replace('_', ' ')}")
        lines = [f"{count(facts['files'], 'file')}: {', '.join(parts)}"]
        if self.done and self.seconds:
            coded = f", {self.bytes:,} bytes, {facts['kbps']:.2f} kb/s" if self.bytes else ""
            lines.append(
                f"{duration_words(self.seconds)} of audio{coded}, {facts['speed']:.1f} x real time"
            )
        return lines
