"""Jobs in processes: results, errors, a process that dies, an end."""

import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from encodec_cli.errors import EncodecCliError, OutputError
from encodec_cli.pipeline.processes import run_in_processes

pytestmark = pytest.mark.slow


def load(name: str) -> str:
    return name


def work(models: str, job: int) -> tuple[str, int, int]:
    if job == 13:
        raise OutputError("job 13 cannot be written")
    if job == 14:
        raise ZeroDivisionError("by nothing")
    time.sleep(0.02)
    return models, job * job, os.getpid()


def die_once(mark: Path, models: str, job: int) -> int:
    if job == 3 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return job


def die(models: str, job: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return job


def test_each_process_has_its_models_and_takes_jobs_as_it_can() -> None:
    loaders = [partial(load, "one"), partial(load, "two")]
    outcomes = list(run_in_processes(loaders, iter(range(20)), work))
    assert sorted(outcome.job for outcome in outcomes) == list(range(20))
    found = {outcome.job: outcome for outcome in outcomes}
    with pytest.raises(OutputError, match="job 13 cannot be written"):
        found.pop(13).result()
    with pytest.raises(EncodecCliError, match="ZeroDivisionError: by nothing"):
        found.pop(14).result()
    results = {job: outcome.result() for job, outcome in found.items()}
    assert {job: result[1] for job, result in results.items()} == {j: j * j for j in results}
    assert len({result[2] for result in results.values()}) == 2
    assert {result[0] for result in results.values()} == {"one", "two"}
    assert os.getpid() not in {result[2] for result in results.values()}


def test_the_job_of_a_process_that_died_is_done_again(tmp_path: Path) -> None:
    again = partial(die_once, tmp_path / "died")
    outcomes = run_in_processes([partial(load, "one")], range(6), again)
    assert [outcome.result() for outcome in outcomes] == list(range(6))
    assert (tmp_path / "died").exists()


def test_a_job_that_ends_its_process_twice_is_an_error() -> None:
    [outcome] = run_in_processes([partial(load, "one")], [1], die)
    with pytest.raises(EncodecCliError, match=r"has died 2 times \(exit code -9\)"):
        outcome.result()


def sleep(models: str, job: int) -> int:
    time.sleep(600 * job)
    return os.getpid()


def test_to_leave_ends_what_goes_on_elsewhere() -> None:
    outcomes = run_in_processes([partial(load, "one")], range(1000), sleep)
    pid = next(iter(outcomes)).result()
    outcomes.close()  # type: ignore[attr-defined]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_to_leave_ends_the_processes() -> None:
    outcomes = run_in_processes([partial(load, "one")], range(1000), work)
    pid = next(iter(outcomes)).result()[2]
    outcomes.close()  # type: ignore[attr-defined]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
