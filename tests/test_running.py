"""Many jobs: what became of each as they end, errors that stay where they are, an end."""

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_samples import PATIENCE_SECONDS, write_audio
from tiny_models import tiny_model

from encodec_cli.checkpoints.load import load_model
from encodec_cli.corpus import AudioFile, CorpusItem
from encodec_cli.errors import UsageError
from encodec_cli.model.codec import Codec
from encodec_cli.pipeline.encode import EncodeOptions
from encodec_cli.pipeline.reports import Progress
from encodec_cli.pipeline.running import run_jobs
from encodec_cli.pipeline.token_jobs import CodesJob


class SomeStreams:
    """An engine that gains from so many streams at a time, for jobs that use no other part."""

    def __init__(self, streams: int) -> None:
        self.streams = streams

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} is not for these jobs")


def codec(streams: int) -> Codec:
    return replace(tiny_model().codec(), engine=SomeStreams(streams))


def test_what_becomes_of_jobs_is_told_as_they_end() -> None:
    second_ended = threading.Event()

    def work(_: Codec, job: str, progress: Progress) -> str:
        if job == "slow":
            assert second_ended.wait(PATIENCE_SECONDS)
        return job.upper()

    outcomes = run_jobs(codec(1), ["slow", "quick"], work, threads=2)
    first = next(outcomes)
    assert (first.job, first.result()) == (1, "QUICK")
    second_ended.set()
    assert [(o.job, o.result()) for o in outcomes] == [(0, "SLOW")]


def test_one_thread_does_jobs_in_their_order() -> None:
    done: list[int] = []

    def work(_: Codec, job: int, progress: Progress) -> int:
        done.append(job)
        return job

    assert [o.result() for o in run_jobs(codec(1), range(9), work, threads=1)] == list(range(9))
    assert done == list(range(9))


@pytest.mark.parametrize("streams", [1, 3])
@pytest.mark.parametrize("threads", [1, 3, 50])
def test_no_more_go_together_than_allowed(streams: int, threads: int) -> None:
    lock, now, most, seen = threading.Lock(), 0, 0, set()

    def work(_: Codec, job: int, progress: Progress) -> int:
        nonlocal now, most
        with lock:
            now, most = now + 1, max(most, now + 1)
            seen.add(threading.get_ident())
        time.sleep(0.005)
        with lock:
            now -= 1
        return -job

    found = {o.job: o.result() for o in run_jobs(codec(streams), range(12), work, threads=threads)}
    assert found == {job: -job for job in range(12)}
    assert most <= (min(threads, 12) if streams == 1 else streams)
    assert threading.get_ident() not in seen


@pytest.mark.parametrize("streams", [1, 4])
def test_an_error_is_that_of_its_job(streams: int) -> None:
    def work(_: Codec, job: int, progress: Progress) -> int:
        if job % 3 == 1:
            raise UsageError(f"job {job} is broken")
        return job

    outcomes = {o.job: o for o in run_jobs(codec(streams), range(9), work, threads=2)}
    assert set(outcomes) == set(range(9))
    for job, outcome in outcomes.items():
        if job % 3 == 1:
            with pytest.raises(UsageError, match=f"job {job} is broken"):
                outcome.result()
        else:
            assert outcome.result() == job


def test_what_is_no_error_of_a_job_ends_them_all() -> None:
    before = threading.active_count()

    def work(_: Codec, job: int, progress: Progress) -> int:
        if job == 1:
            raise KeyboardInterrupt
        return job

    with pytest.raises(KeyboardInterrupt):
        list(run_jobs(codec(1), range(5), work, threads=1))
    assert threading.active_count() == before


@pytest.mark.parametrize("threads", [1, 3])
def test_to_leave_stops_jobs_at_their_next_block(threads: int) -> None:
    before, begun, cleaned = threading.active_count(), [], []

    def work(_: Codec, job: int, progress: Progress) -> int:
        begun.append(job)
        if job == 0:
            return 0
        try:
            while True:  # a recording without an end
                progress(1.0, None)
                time.sleep(0.001)
        finally:
            cleaned.append(job)

    outcomes = run_jobs(codec(1), range(20), work, threads=threads)
    assert next(outcomes).job == 0
    outcomes.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
    assert sorted(cleaned) == sorted(set(begun) - {0})
    assert len(begun) <= threads + 1


@pytest.mark.parametrize("streams", [1, 4])
def test_no_jobs(streams: int) -> None:
    assert list(run_jobs(codec(streams), [], lambda *_: 1, threads=3)) == []


@pytest.mark.parametrize("threads", [2, 4])
def test_files_in_threads_give_the_codes_of_each_alone(
    mono: Path, tmp_path: Path, threads: int
) -> None:
    model = load_model(mono)
    assert model.engine.streams == 1
    jobs = []
    for number, samples in enumerate([1, 50_000, 12_345, 24_000, 70_001, 320]):
        source = write_audio(tmp_path / f"{number}.wav", samples, level=0.1 * (number + 1))
        item = CorpusItem(key=str(number), audio=AudioFile(source), source=source.name)
        jobs.append(CodesJob(item, EncodeOptions(n_q=8, search=4)))

    def work(codec: Codec, job: CodesJob, progress: Progress) -> Any:
        return job.run(codec, progress=progress).codes

    alone = [job.run(model).codes for job in jobs]
    for outcome in run_jobs(model, jobs, work, threads=threads):
        np.testing.assert_array_equal(outcome.result(), alone[outcome.job])
