"""What `tokens` says of its shards and files, and what it notes of failures."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from encodec_cli.cli.console import count, print_json, rounded, say, warn
from encodec_cli.cli.outcome import duration_words
from encodec_cli.cli.running import Manner
from encodec_cli.cli.summary import Tally

if TYPE_CHECKING:
    from encodec_cli.pipeline.shard_plan import Skipped
    from encodec_cli.pipeline.shard_reports import ShardReport

__all__ = ["Teller"]


@dataclass
class Teller:
    """Counts what becomes of a run, and says it.

    Attributes:
        folder: of the outputs.
        sharded: whether items are in shards, rather than in a file each.
        exit_code: of the run so far.
    """

    folder: Path
    sharded: bool
    manner: Manner
    tally: Tally
    exit_code: int = 0

    def skip(self, skipped: "Skipped") -> None:
        """Items that are there."""
        self.tally.skipped += skipped.items
        if not self.manner.quiet:
            for name in skipped.names:
                say(f"{name}: exists, skipped")

    def tell(self, report: "ShardReport") -> None:
        """A shard, or a file, is done."""
        from encodec_cli.tokens.failures import add_failures

        self.tally.done += report.items
        self.tally.seconds += report.seconds
        self.tally.failed += len(report.failures)
        for failure in report.failures:
            warn(failure.reason, label="error", style="bold red")
            self.exit_code = max(self.exit_code, 1 if self.tally.many else failure.exit_code)
        if self.tally.many:  # of one recording, all is said
            add_failures(self.folder, report.failures)
        if self.manner.json:
            for line in self._as_json(report):
                print_json(line)
        elif not self.manner.quiet:
            for text in self._as_words(report):
                say(text)

    def tell_skipped(self, items: int | None) -> None:
        """At the end: how many of the corpus' items were in shards before."""
        if self.sharded and self.tally.skipped and not self.manner.quiet:
            of_all = "" if items is None else f"of {items} "
            say(f"{self.folder}: {self.tally.skipped} {of_all}inputs are in shards, skipped")

    def _as_json(self, report: "ShardReport") -> Iterator[dict[str, Any]]:
        if not self.sharded:
            yield from (rounded(vars(item)) for item in report.done)
            return
        facts = {name: value for name, value in vars(report).items() if name != "done"}
        yield rounded(facts | {"failures": len(report.failures)})

    def _as_words(self, report: "ShardReport") -> Iterator[str]:
        for item in report.done:
            books, frames = count(item.codebooks, "codebook"), count(item.frames, "frame")
            yield f"{item.source} -> {item.target}: {books}, {frames}"
        if report.files:
            parts = [count(report.items, "item"), duration_words(report.seconds)]
            if report.failures:
                parts.append(f"{len(report.failures)} failed")
            yield f"{self.folder / report.files[0]}: {', '.join(parts)}"
