"""Which items go into which shard: the same for every run over the same corpus.

    corpus --cut by the expected size of codes--> shard 0, 1 ... --what is missing--> ShardJobs

A part of a run, and every reader of a run on many machines, cuts all of the corpus and takes its
own shards. So shards are the same whoever makes them, and nobody has to be told anything.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from encodec_cli.corpus import BadCorpusItem, Corpus, CorpusItem, read
from encodec_cli.io.files import reason_taken
from encodec_cli.io.shares import Share
from encodec_cli.pipeline.lengths import Lengths
from encodec_cli.pipeline.shard_jobs import CodesOptions, Item, ShardJob, is_stored
from encodec_cli.tokens import ColumnKinds, column_kinds
from encodec_cli.tokens.shards import FileTarget, ShardTarget, Stock, TokenTarget

__all__ = ["Plan", "Skipped", "Survey", "survey"]

_ALL = Share(1, 1)
_Sized = tuple[Item, float]


@dataclass(frozen=True)
class Skipped:
    """Items that have their codes already; `names` of their files, if they have one each."""

    items: int
    names: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What a corpus holds, by one passage over it.

    Attributes:
        items: how many, bad ones included; None where the corpus can be read only once.
        seconds: about how much audio; None as well.
        audio: whether any item has to be coded.
        kinds: of the corpus' columns; None where it can be read only once.
    """

    items: int | None
    seconds: float | None
    audio: bool
    kinds: ColumnKinds | None


def survey(corpus: Corpus, options: CodesOptions, share: Share | None = None) -> Survey:
    """Pass over `corpus` without decoding anything; `share` is taken as a share of its seconds.

    Raises:
        UsageError: see `corpus.read`.
    """
    if not corpus.rereadable:
        return Survey(items=None, seconds=None, audio=True, kinds=None)
    lengths = Lengths(options.bandwidth, options.n_q)
    items, seconds, audio = 0, 0.0, False

    def columns() -> Iterator[Mapping[str, Any]]:
        nonlocal items, seconds, audio
        for item in read(corpus):
            items += 1
            if isinstance(item, CorpusItem):
                seconds += lengths.of(item, 0.0)[0]
                audio = audio or not is_stored(item)
                yield item.columns

    kinds = column_kinds(columns())
    of = 1 if share is None else share.of
    return Survey(items=items, seconds=seconds / of, audio=audio, kinds=kinds)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run is to do. Can be pickled.

    Attributes:
        corpus: what there is.
        target: where codes go.
        options: how they are made.
        code_rate: bytes of codes that a second of audio has, two bytes each.
        most_bytes: of codes that close a shard; the item that reaches it is in.
        most_items: that close it as well, if there is such a number.
        skip_existing: leave out items whose files are there; shards always are.
        taken: files that were there before the run, which are not to be overwritten, though
            `target` overwrites what a lost process has made. Items of these fail.
    """

    corpus: Corpus
    target: TokenTarget
    options: CodesOptions
    code_rate: float
    most_bytes: float
    most_items: int | None = None
    skip_existing: bool = False
    taken: frozenset[Path] = frozenset()

    def jobs(self, share: Share | None = None) -> Iterator[ShardJob | Skipped]:
        """What is missing, as jobs in the order of the corpus, as it is read.

        A shard that is there is never written again. What it lacks of its items, because they
        failed or the corpus has changed, goes into shards numbered after all others.

        Raises:
            ContainerError: a shard or record that is there cannot be read.
            UsageError: see `corpus.read`.
        """
        share = share or _ALL
        stock = Stock(self.target) if isinstance(self.target, ShardTarget) else None
        rest: list[_Sized] = []
        end = 0
        for number, group in enumerate(self._cut(self._sized())):
            end = number + 1
            if not share.has(number):
                continue
            missing, skipped = self._missing(group, stock)
            if skipped.items:
                yield skipped
            if missing and stock is not None and number in stock.numbers:
                rest += missing
            elif missing:
                yield self._job(number, missing)
        taken = set() if stock is None else stock.numbers
        for group in self._cut(rest):
            while not share.has(end) or end in taken:
                end += 1
            yield self._job(end, group)
            end += 1

    def _sized(self) -> Iterator[_Sized]:
        lengths = Lengths(self.options.bandwidth, self.options.n_q)
        for item in read(self.corpus):
            if isinstance(item, BadCorpusItem):
                yield item, 0.0
            else:
                yield item, lengths.of(item, self.code_rate)[1]

    def _cut(self, items: Iterable[_Sized]) -> Iterator[list[_Sized]]:
        group: list[_Sized] = []
        size = 0.0
        for sized in items:
            group.append(sized)
            size += sized[1]
            if size >= self.most_bytes or len(group) == self.most_items:
                yield group
                group, size = [], 0.0
        if group:
            yield group

    def _missing(self, group: list[_Sized], stock: Stock | None) -> tuple[list[_Sized], Skipped]:
        if stock is not None:
            missing = [sized for sized in group if sized[0].key not in stock.keys]
            return missing, Skipped(len(group) - len(missing))
        target = self.target
        if isinstance(target, FileTarget) and self.taken:
            return [self._refused(target, sized) for sized in group], Skipped(0)
        if not self.skip_existing or not isinstance(target, FileTarget):
            return group, Skipped(0)
        paths = {item.key: target.path(item.key) for item, _ in group}
        there = {key: path for key, path in paths.items() if path.is_file()}
        missing = [sized for sized in group if sized[0].key not in there]
        return missing, Skipped(len(there), tuple(map(str, there.values())))

    def _refused(self, target: FileTarget, sized: _Sized) -> _Sized:
        item, size = sized
        path = target.path(item.key)
        if path not in self.taken:
            return sized
        return BadCorpusItem(key=item.key, source=str(path), reason=reason_taken()), size

    def _job(self, number: int, items: list[_Sized]) -> ShardJob:
        return ShardJob(number, tuple(item for item, _ in items), self.target, self.options)
