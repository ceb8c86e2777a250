"""What became of a shard's items."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from encodec_cli.corpus import BadCorpusItem, CorpusItem
from encodec_cli.errors import EncodecCliError
from encodec_cli.io.text import printable
from encodec_cli.tokens import TokenItem
from encodec_cli.tokens.failures import Failure
from encodec_cli.tokens.records import ShardRecord

__all__ = ["ItemErrors", "ItemReport", "ShardReport", "Words", "report_of_record"]

Words = Callable[[EncodecCliError], str]
"""What an error says; a command names its options in it."""

_MOST_UNEXPECTED: Final = 16


@dataclass(frozen=True, kw_only=True)
class ItemReport:
    """An item that has its codes; `source` is the recording, `target` the file they are in."""

    key: str
    source: str
    target: str
    model: str | None
    codebooks: int
    frames: int
    seconds: float | None

    @classmethod
    def of(
        cls, source: CorpusItem | BadCorpusItem, item: TokenItem, target: object
    ) -> "ItemReport":
        """What there is to say of `item`, made of `source`."""
        return cls(
            key=item.key,
            source=source.audio.name if isinstance(source, CorpusItem) else source.source,
            target=str(target),
            model=item.info.model,
            codebooks=int(item.codes.shape[0]),
            frames=int(item.codes.shape[1]),
            seconds=item.info.seconds,
        )


@dataclass(frozen=True, kw_only=True)
class ShardReport:
    """What became of a `ShardJob`.

    Attributes:
        number: of the shard.
        files: names of its files, below the folder; none if every item failed, or has its own.
        items: how many have codes.
        seconds: of audio, in these.
        frames: of codes, in these.
        done: these one by one, where each has its own file.
        failures: of the others.
        elapsed_seconds: from the first item's writing to the last one's.
    """

    number: int
    files: tuple[str, ...]
    items: int
    seconds: float
    frames: int
    done: tuple[ItemReport, ...] = ()
    failures: tuple[Failure, ...] = ()
    elapsed_seconds: float = 0.0


def report_of_record(record: ShardRecord) -> ShardReport:
    """The report of a shard that is complete already."""
    return ShardReport(
        number=record.number,
        files=record.files,
        items=len(record.keys),
        seconds=record.seconds,
        frames=record.frames,
        failures=record.failures,
        elapsed_seconds=record.elapsed_seconds,
    )


class ItemErrors:
    """Makes failures of what items raise, and ends a run in which nothing works any more.

    An error of ours or of the system's is that of its item. One that nobody foresaw is, too: of a
    million recordings, one may bring a library to its limits. But so many in a row are no item's.
    """

    def __init__(self, words: Words) -> None:
        self._words = words
        self._unexpected = 0

    def worked(self) -> None:
        """An item has its codes."""
        self._unexpected = 0

    def failure(self, item: CorpusItem | BadCorpusItem, error: Exception) -> Failure:
        """That `item` failed.

        Raises:
            EncodecCliError: one error too many of a kind that nobody foresaw.
        """
        if isinstance(error, EncodecCliError):
            reason, exit_code = self._words(error), error.exit_code
        elif isinstance(error, OSError):
            reason, exit_code = f"{item.source}: {error.strerror or error}", 1
        else:
            reason, exit_code = f"{item.source}: {type(error).__name__}: {error}", 1
            self._unexpected += 1
            if self._unexpected >= _MOST_UNEXPECTED:
                raise EncodecCliError(
                    f"{self._unexpected} items in a row cannot be coded; the last: {reason}"
                ) from error
        return Failure(item.key, item.source, printable(reason), exit_code)
