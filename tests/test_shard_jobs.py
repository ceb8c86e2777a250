"""Shards of a corpus: the same bytes however they are made, and what becomes of what fails."""

import json
import pickle
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_samples import make_model, mono_config, write_audio

from encodec_cli.checkpoints.choice import LoadedModels, ModelChoice
from encodec_cli.corpus import AudioFile, BadCorpusItem, Corpus, CorpusItem
from encodec_cli.errors import EncodecCliError, UsageError
from encodec_cli.io.shares import Share
from encodec_cli.model.codec import Codec
from encodec_cli.pipeline.lengths import Lengths
from encodec_cli.pipeline.shard_jobs import CodesOptions, ShardJob, do_shard, run_shards
from encodec_cli.pipeline.shard_plan import Plan, Skipped, survey
from encodec_cli.tokens import FileTarget, ShardTarget, read_items
from encodec_cli.tokens.shards import Stock

LENGTHS = (30_000, 1, 12_345, 24_000, 70_001, 320, 9_999, 48_000, 5, 25_000)


@pytest.fixture(scope="module")
def talks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten recordings of very different lengths, levels and two rates."""
    folder = tmp_path_factory.mktemp("talks")
    for number, samples in enumerate(LENGTHS):
        rate = 24_000 if number % 3 else 16_000
        write_audio(folder / f"{number}.wav", samples, rate=rate, level=0.1 * (number % 5 + 1))
    return folder


@pytest.fixture(scope="module")
def models(mono: Path) -> LoadedModels:
    return LoadedModels(ModelChoice(name=str(mono), device="cpu"))


def plan_of(talks: Path, target: Any, **changes: Any) -> Plan:
    """Shards of about two seconds of 8 codebooks."""
    given: dict[str, Any] = {
        "corpus": Corpus(inputs=(str(talks),), recursive=True),
        "target": target,
        "options": CodesOptions(n_q=8),
        "code_rate": 1200.0,
        "most_bytes": 2400.0,
    }
    return Plan(**(given | changes))


def made(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("tokens-*"))}


def jobs_of(plan: Plan, share: Share | None = None) -> list[ShardJob]:
    return [job for job in plan.jobs(share) if isinstance(job, ShardJob)]


@pytest.fixture(scope="module")
def expected(
    talks: Path, models: LoadedModels, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """The shards that one thread makes."""
    folder = tmp_path_factory.mktemp("expected")
    plan = plan_of(talks, ShardTarget(folder, "webdataset"))
    reports = list(run_shards(models, jobs_of(plan), threads=1))
    assert sum(report.items for report in reports) == len(LENGTHS)
    assert len(reports) > 3
    return made(folder)


# The same bytes


@pytest.mark.parametrize("threads", [2, 5])
def test_threads_make_the_same_shards(
    threads: int, talks: Path, models: LoadedModels, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    plan = plan_of(talks, ShardTarget(tmp_path, "webdataset"))
    reports = list(run_shards(models, jobs_of(plan), threads=threads))
    assert [report.number for report in reports] == list(range(len(reports)))
    assert made(tmp_path) == expected


@pytest.mark.parametrize("of", [2, 3, 8])
def test_parts_make_the_same_shards_among_them(
    of: int, talks: Path, models: LoadedModels, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    plan = plan_of(talks, ShardTarget(tmp_path, "webdataset"))
    names: list[str] = []
    for index in reversed(range(1, of + 1)):
        jobs = pickle.loads(pickle.dumps(jobs_of(plan, Share(index, of))))
        names += [n for job in jobs for n in do_shard(models, job, threads=2).files]
    assert sorted(names) == sorted(expected)
    assert made(tmp_path) == expected


class ManyStreams:
    """An engine as it is, that also claims to gain from many streams."""

    def __init__(self, engine: Any, streams: int) -> None:
        self._engine, self.streams = engine, streams

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


@dataclass
class Ready:
    codec: Codec
    lm: Any = None


@pytest.mark.parametrize("streams", [2, 4, 16])
def test_streams_stepped_together_make_the_same_shards(
    streams: int, talks: Path, models: LoadedModels, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    engine: Any = ManyStreams(models.codec.engine, streams)
    together = Ready(replace(models.codec, engine=engine))
    plan = plan_of(talks, ShardTarget(tmp_path, "webdataset"))
    list(run_shards(together, jobs_of(plan), threads=1))
    assert made(tmp_path) == expected


@pytest.mark.slow
def test_the_compiled_engine_gives_the_codes_of_each_alone(
    talks: Path, mono: Path, tmp_path: Path
) -> None:
    """Networks of torch, which step many streams together."""
    codec = make_model(mono_config()).codec()
    assert codec.engine.streams > 1
    target = ShardTarget(tmp_path / "together", "webdataset")
    plan = plan_of(talks, target)
    list(run_shards(Ready(codec), jobs_of(plan), threads=1))
    alone: dict[str, Any] = {}
    for job in jobs_of(plan_of(talks, FileTarget(tmp_path / "alone", "npz"), most_items=1)):
        do_shard(Ready(codec), job, threads=1)
    for path in sorted((tmp_path / "alone").glob("*.npz")):
        [item] = read_items(path)
        alone[item.key] = item.codes
    found = 0
    for path in sorted((tmp_path / "together").glob("*.tar")):
        for item in read_items(path):
            np.testing.assert_array_equal(item.codes, alone[item.key])
            found += 1
    assert found == len(alone) == len(LENGTHS)


# What is missing


def test_what_is_there_is_not_done_again(
    talks: Path, models: LoadedModels, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    plan = plan_of(talks, ShardTarget(tmp_path, "webdataset"))
    jobs = jobs_of(plan)
    for job in jobs[1::2]:
        do_shard(models, job, threads=1)
    missing = jobs_of(plan)
    assert [job.number for job in missing] == [job.number for job in jobs[::2]]
    skipped = [job for job in plan.jobs() if isinstance(job, Skipped)]
    assert sum(each.items for each in skipped) == sum(len(job.items) for job in jobs[1::2])
    list(run_shards(models, missing, threads=1))
    assert made(tmp_path) == expected
    assert jobs_of(plan) == []


def test_a_record_without_its_shard_counts_for_nothing(
    talks: Path, models: LoadedModels, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    """A run that was killed between writing the record and naming the shard."""
    target = ShardTarget(tmp_path, "webdataset")
    plan = plan_of(talks, target)
    list(run_shards(models, jobs_of(plan), threads=1))
    target.first(1).unlink()
    assert [job.number for job in jobs_of(plan)] == [1]
    list(run_shards(models, jobs_of(plan), threads=1))
    assert made(tmp_path) == expected


def test_shards_without_records_tell_their_keys(
    talks: Path, models: LoadedModels, tmp_path: Path
) -> None:
    target = ShardTarget(tmp_path, "webdataset")
    plan = plan_of(talks, target)
    list(run_shards(models, jobs_of(plan), threads=1))
    keys = Stock(target).keys
    assert keys == {str(number) for number in range(len(LENGTHS))}
    for path in (tmp_path / ".done").glob("*.json"):
        path.unlink()
    assert Stock(target).keys == keys
    assert jobs_of(plan) == []


def test_an_attempt_that_was_lost_after_its_shard_is_not_repeated(
    talks: Path, models: LoadedModels, tmp_path: Path
) -> None:
    job = jobs_of(plan_of(talks, ShardTarget(tmp_path, "webdataset")))[0]
    first = do_shard(models, job, threads=1)
    stamp = job.target.first(0).stat().st_mtime_ns  # type: ignore[union-attr]
    again = do_shard(models, job, threads=1)
    assert job.target.first(0).stat().st_mtime_ns == stamp  # type: ignore[union-attr]
    assert (again.items, again.seconds, again.files) == (first.items, first.seconds, first.files)


def test_what_is_new_in_a_corpus_goes_into_shards_after_all_others(
    models: LoadedModels, tmp_path: Path
) -> None:
    talks = tmp_path / "talks"
    for name in "bdfh":
        write_audio(talks / f"{name}.wav", 24_000)
    target = ShardTarget(tmp_path / "out", "webdataset")
    plan = plan_of(talks, target)
    list(run_shards(models, jobs_of(plan), threads=1))
    before = made(target.folder)
    assert len(before) == 2
    for name in "ace":
        write_audio(talks / f"{name}.wav", 24_000)
    for index in (1, 2):  # two parts find them, each its own
        jobs = jobs_of(plan, Share(index, 2))
        assert all(job.number >= 2 and job.number % 2 == index - 1 for job in jobs)
        list(run_shards(models, jobs, threads=1))
    after = made(target.folder)
    assert before.items() <= after.items()
    assert sorted(key for path in target.folder.glob("*.tar") for key in keys_in(path)) == list(
        "abcdefh"
    )
    assert jobs_of(plan) == []


def keys_in(path: Path) -> Iterator[str]:
    yield from (item.key for item in read_items(path))


# What fails


def item_of(path: Path) -> CorpusItem:
    return CorpusItem(key=path.stem, audio=AudioFile(path), source=path.name)


def test_what_fails_is_left_out_and_told(models: LoadedModels, tmp_path: Path) -> None:
    good = write_audio(tmp_path / "good.wav", 5000)
    (tmp_path / "empty.wav").touch()
    bad = BadCorpusItem(key="row 7", source="list.csv, line 7", reason="names no recording")
    items = (item_of(tmp_path / "empty.wav"), bad, item_of(good), item_of(tmp_path / "none.wav"))
    target = ShardTarget(tmp_path / "out", "webdataset")
    report = do_shard(models, ShardJob(4, items, target, CodesOptions()), threads=2)
    assert report.items == 1
    assert [failure.key for failure in report.failures] == ["empty", "row 7", "none"]
    assert "empty" in report.failures[0].reason
    assert report.failures[1].reason == "list.csv, line 7: names no recording"
    assert "no such file" in report.failures[2].reason
    record = target.record(4)
    assert record is not None
    assert (record.keys, record.failures) == (("good",), report.failures)
    assert json.loads((tmp_path / "out" / ".done" / "webdataset-00004.json").read_text())


def test_a_shard_of_which_nothing_can_be_coded_does_not_appear(
    models: LoadedModels, tmp_path: Path
) -> None:
    target = ShardTarget(tmp_path / "out", "webdataset")
    job = ShardJob(0, (item_of(tmp_path / "none.wav"),), target, CodesOptions())
    report = do_shard(models, job, threads=1)
    assert (report.items, report.files, len(report.failures)) == (0, (), 1)
    assert made(tmp_path / "out") == {}


def test_a_shard_whose_only_item_cannot_be_written_does_not_appear(
    models: LoadedModels, tmp_path: Path
) -> None:
    item = item_of(write_audio(tmp_path / "a.wav", 500))
    huge = replace(item, columns={"text": "x" * (5 << 20)})
    for to in ("webdataset", "parquet", "shar"):
        target = ShardTarget(tmp_path / to, to)
        report = do_shard(models, ShardJob(0, (huge,), target, CodesOptions()), threads=1)
        assert (report.items, report.files, len(report.failures)) == (0, (), 1)
        assert [path for path in target.folder.rglob("*") if path.is_file()] == []


def test_a_rate_that_the_model_lacks_ends_the_run(
    talks: Path, models: LoadedModels, tmp_path: Path
) -> None:
    plan = plan_of(talks, ShardTarget(tmp_path, "webdataset"), options=CodesOptions(n_q=99))
    with pytest.raises(UsageError, match="99"):
        list(run_shards(models, jobs_of(plan), threads=1))
    assert made(tmp_path) == {}


class Breaks:
    """Bytes that bring a library to its limits."""

    name, size = "breaks.wav", 10

    def open(self) -> Any:
        raise ZeroDivisionError("in some library")


@pytest.mark.parametrize("good_between", [True, False])
def test_what_nobody_foresaw_fails_an_item_but_not_for_ever(
    good_between: bool, models: LoadedModels, tmp_path: Path
) -> None:
    good = item_of(write_audio(tmp_path / "good.wav", 500))
    breaks = [CorpusItem(key=f"x{i}", audio=Breaks(), source="x") for i in range(30)]
    items: list[Any] = list(breaks)
    if good_between:
        items[10:10] = [replace(good, key="g1")]
        items[21:21] = [replace(good, key="g2")]
    target = ShardTarget(tmp_path / "out", "webdataset")
    job = ShardJob(0, tuple(items), target, CodesOptions())
    if good_between:
        report = do_shard(models, job, threads=2)
        assert (report.items, len(report.failures)) == (2, 30)
        assert report.failures[0].reason == "x: ZeroDivisionError: in some library"
    else:
        with pytest.raises(EncodecCliError, match="16 items in a row"):
            do_shard(models, job, threads=2)
        assert made(tmp_path / "out") == {}


# How long things are


def test_lengths_are_what_the_corpus_says_else_what_the_first_of_a_kind_hold(
    talks: Path, tmp_path: Path
) -> None:
    lengths = Lengths()
    item = item_of(talks / "4.wav")
    assert lengths.of(replace(item, duration=1.5), 1200) == (1.5, 1800)
    assert lengths.of(replace(item, seconds=7.0), 1200) == (7.0, 8400)
    assert lengths.of(item, 1200)[0] == pytest.approx(70_001 / 24_000)
    assert lengths.of(replace(item, offset=1.0), 1200)[0] == pytest.approx(70_001 / 24_000 - 1)
    for _ in range(10):  # more than are opened; those after have the bytes of those before
        seconds, _ = lengths.of(item, 1200)
    assert seconds == pytest.approx(70_001 / 24_000, rel=0.01)
    (tmp_path / "noise.mp3").write_bytes(bytes(32_000))
    assert lengths.of(item_of(tmp_path / "noise.mp3"), 1)[0] == pytest.approx(2.0)


def test_a_survey_counts_what_there_is(talks: Path) -> None:
    found = survey(Corpus(inputs=(str(talks),), recursive=True), CodesOptions())
    seconds = sum(n / (24_000 if i % 3 else 16_000) for i, n in enumerate(LENGTHS))
    assert (found.items, found.audio) == (len(LENGTHS), True)
    assert found.seconds == pytest.approx(seconds, rel=0.05)
