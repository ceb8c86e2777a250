"""Spoiled files of every kind: one of our errors or none, in bounded time and memory.

`python -m tests.fuzz --hours 1` tries more of the same.
"""

import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]

from fuzz import worker
from fuzz.readers import READERS
from fuzz.run import corpus, run_worker

from encodec_cli.errors import EncodecCliError

pytestmark = [
    pytest.mark.fuzz,
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="limits need Linux"),
]
SEED = "ci"


@pytest.mark.parametrize("reader", sorted(READERS))
def test_spoiled_files_end_in_one_of_our_errors(reader: str) -> None:
    found = run_worker(reader, SEED, READERS[reader].cases)
    assert not found, "\n".join(f"{f['case']}: {f['wrong']}" for f in found[:3])


@pytest.mark.parametrize("reader", [name for name in sorted(READERS) if corpus(name)])
def test_what_failed_once_fails_no_more(reader: str) -> None:
    found = run_worker(reader, *corpus(reader), "--files")
    assert not found, "\n".join(f"{f['case']}: {f['wrong']}" for f in found[:3])


def test_the_fuzzer_sees_what_goes_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(path: Path) -> None:
        raise ValueError("no error of ours")

    class Foreign(EncodecCliError):
        def __str__(self) -> str:
            return "one\ntwo"

    def two_lines(path: Path) -> None:
        raise Foreign("one")

    def endless(path: Path) -> None:
        while True:
            pass

    def stop(number: int, frame: object) -> None:
        raise worker.TooLong

    monkeypatch.setattr(worker, "SECONDS", 0.05)
    old = signal.signal(signal.SIGPROF, stop)
    try:
        for read, words in (
            (fails, "ValueError: no error of ours"),
            (two_lines, "a message of several lines"),
            (endless, "more than 0.05 s"),
            (lambda path: None, None),
        ):
            wrong = worker.outcome(replace(READERS["v1"], read=read), tmp_path)
            assert wrong is words is None or words in wrong
    finally:
        signal.signal(signal.SIGPROF, old)


def test_a_worker_that_dies_is_a_failure() -> None:
    [failure] = run_worker("no such reader", SEED, 1)
    assert "the process ended with 1" in failure["wrong"]
