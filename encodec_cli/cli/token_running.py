"""`tokens` from its options to its exit code.

corpus --survey--> plan --jobs, see token_ways--> reports --token_telling--> words, lines, card
"""

import sys
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from encodec_cli.cli.console import shown_progress
from encodec_cli.cli.corpus_progress import CorpusProgress
from encodec_cli.cli.loading import choice, code_models, lasting, load, load_lm
from encodec_cli.cli.options import DTypeName
from encodec_cli.cli.run_options import Where
from encodec_cli.cli.running import Manner, end
from encodec_cli.cli.summary import Tally
from encodec_cli.cli.token_options import TokenOutput
from encodec_cli.cli.token_telling import Teller
from encodec_cli.cli.token_ways import Ways
from encodec_cli.errors import OutputError, UsageError, parameter
from encodec_cli.io.shares import Share

if TYPE_CHECKING:
    from encodec_cli.checkpoints.choice import ModelChoice
    from encodec_cli.corpus import Corpus
    from encodec_cli.model.codec import Codec
    from encodec_cli.pipeline.shard_jobs import CodesOptions
    from encodec_cli.pipeline.shard_plan import Survey
    from encodec_cli.tokens import ShardTarget, TokenTarget
    from encodec_cli.tokens.shards import Stock

__all__ = ["Coding", "run_tokens"]

_CODE_BYTES = 2
_FILES_BYTES = 1e6
_FILES_TOGETHER = 256


@dataclass(frozen=True, kw_only=True)
class Coding:
    """The options that say how audio becomes codes."""

    bandwidth: float | None
    n_q: int | None
    model: str
    config: Path | None
    lm: str | None
    code_model: Path | None
    dtype: DTypeName
    verbose: bool
    quiet: bool

    def options(self) -> "CodesOptions":
        """What of them jobs need."""
        from encodec_cli.pipeline.shard_jobs import CodesOptions

        models = code_models(self.code_model)
        return CodesOptions(bandwidth=self.bandwidth, n_q=self.n_q, code_models=models)

    def choice(self, device: str, threads: int) -> "ModelChoice":
        """The models, for another process."""
        return choice(
            self.lasting_model, device, threads, self.dtype, config=self.config, lm=self.lm
        )

    @cached_property
    def lasting_model(self) -> str:
        """The model to code with, once there is something to code."""
        return lasting(self.model, quiet=self.quiet)


class _Models:
    """Models of this process, loaded when they are needed, with a word about them.

    The engine is not chosen by how much there is to code: parts and restarts of a run have less.
    """

    def __init__(self, coding: Coding, where: Where) -> None:
        self._coding, self._where = coding, where

    @cached_property
    def codec(self) -> "Codec":
        of, where = self._coding, self._where
        return load(
            of.lasting_model,
            where.own_device,
            where.threads,
            where.own_dtype(of.dtype),
            verbose=of.verbose,
            config=of.config,
        )

    @cached_property
    def lm(self) -> Any:
        return None if self._coding.lm is None else load_lm(self._coding.lm, self.codec.config)


def run_tokens(
    corpus: "Corpus", coding: Coding, output: TokenOutput, where: Where, manner: Manner
) -> None:
    """Do what is missing, say what became of it, and end with its exit code.

    Raises:
        UsageError: options that do not go together, or an empty corpus.
        OutputError: the folder is in use, or cannot be written.
        typer.Exit: not all is well.
    """
    from encodec_cli.pipeline.shard_plan import Plan, survey

    if where.ray and not corpus.rereadable:
        raise UsageError("--ray: workers cannot read standard input; name files")
    options = coding.options()
    found = survey(corpus, options, where.share)
    force = manner.force or not where.here  # a job may be done twice there
    target = output.target(found.kinds, force=force)
    teller = Teller(
        output.folder, output.most_bytes is not None, manner, Tally(many=_many(corpus, found))
    )
    models = _Models(coding, where)
    progress = CorpusProgress(total=found.seconds)
    ways = Ways(where, models, coding.choice, teller.skip, progress)
    with ExitStack() as stack:
        _take_folder(stack, target, where.share, resume=manner.skip_existing)
        together = 1 if where.here else _FILES_TOGETHER  # on the way to other processes
        plan = Plan(
            corpus=corpus,
            target=target,
            options=options,
            code_rate=_code_rate(models, options, found),
            most_bytes=_FILES_BYTES if output.most_bytes is None else output.most_bytes,
            most_items=together if output.most_bytes is None else None,
            skip_existing=manner.skip_existing,
            taken=_taken(target, manner, where),
        )
        stack.enter_context(shown_progress(progress, quiet=manner.quiet, lines=manner.progress))
        for report in ways.reports(plan):
            teller.tell(report)
        _finish(target, teller, found)
    end(teller.tally, manner, teller.exit_code)


def _many(corpus: "Corpus", found: "Survey") -> bool:
    """Whether more than one recording was named by itself."""
    alone = len(corpus.inputs) == 1 and not corpus.manifests and found.items == 1
    return not alone or Path(corpus.inputs[0]).is_dir()


def _take_folder(
    stack: ExitStack, target: "TokenTarget", share: Share | None, *, resume: bool
) -> None:
    """Keep other runs away from shards, and refuse to add to those of one before, unasked."""
    from encodec_cli.tokens import ShardTarget
    from encodec_cli.tokens.locking import locked_folder

    if not isinstance(target, ShardTarget):
        return
    stack.enter_context(locked_folder(target.folder, share))
    share = share or Share(1, 1)
    target.remove_orphans(share)
    there = [number for number in target.numbers() if share.has(number)]
    if there and not resume:
        raise OutputError(
            f"{target.folder}: holds shards already, {len(there)} of them; go on with "
            f"{parameter('skip_existing', True)}, or name another folder"
        )


def _taken(target: "TokenTarget", manner: Manner, where: Where) -> frozenset[Path]:
    """Files that jobs may not overwrite which overwrite those of their own first attempt."""
    from encodec_cli.tokens import FileTarget

    asked = manner.force or manner.skip_existing
    return (
        frozenset() if where.here or asked or not isinstance(target, FileTarget) else target.files()
    )


def _code_rate(models: _Models, options: "CodesOptions", found: "Survey") -> float:
    """Bytes of codes for a second of audio; without audio no model is loaded."""
    if not found.audio:
        return 0.0
    config = models.codec.config
    books = config.choose_codebooks(options.bandwidth, options.n_q)
    return float(_CODE_BYTES * books * config.frame_rate)


def _finish(target: "TokenTarget", teller: Teller, found: "Survey") -> None:
    """Set `failures.jsonl` in order, and write the card of a folder of shards."""
    from encodec_cli.tokens import ShardTarget
    from encodec_cli.tokens.failures import settle_failures
    from encodec_cli.tokens.shards import Stock

    if not isinstance(target, ShardTarget):
        settle_failures(target.folder, lambda key: target.path(key).is_file())
        return
    teller.tell_skipped(found.items)
    stock = Stock(target)
    settle_failures(target.folder, stock.keys.__contains__)
    if teller.tally.many:
        _write_card(target, stock, found)


def _write_card(target: "ShardTarget", stock: "Stock", found: "Survey") -> None:
    from encodec_cli.tokens import CardFacts, write_card
    from encodec_cli.tokens.failures import read_failures

    facts = CardFacts(
        format=target.to,
        files=[target.first(number) for number in sorted(stock.numbers)],
        command=["encodec-cli", *sys.argv[1:]],
        items=len(stock.keys),
        seconds=sum(record.seconds for record in stock.records),
        failed=len(read_failures(target.folder)),
        arrangement=target.arrangement,
        kinds=found.kinds or {},
    )
    write_card(target.folder, facts)
