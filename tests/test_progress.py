"""One line for a whole run, at any width."""

import itertools

import pytest

from encodec_cli.cli.progress import FileProgress, RunProgress


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_files_audio_share_speed_and_time_left_are_told() -> None:
    clock = Clock()
    files = [FileProgress(".wav", 60.0), FileProgress(".wav", 60.0), FileProgress(".mp3", 120.0)]
    run = RunProgress("a.wav", files, clock)
    clock.now = 10.0
    run.update(0, 60.0, 60.0)
    run.end(0)
    run.update(1, 0.0, 60.0)
    run.update(2, 60.0, 120.0)
    assert run.line(79) == (
        "1 of 3 files  [###----]   50 %  audio 2:00 of 4:00  12.0 x real time  0:10 left"
    )
    assert run.line(120, bar=False).endswith("audio 2:00 of 4:00  12.0 x real time  0:10 left")


def test_lengths_of_files_to_come_are_estimated_from_those_of_their_kind() -> None:
    run = RunProgress("", [FileProgress(".mp3", 10.0), FileProgress(".mp3", 30.0)])
    run.update(0, 5.0, 20.0)  # twice what its size said
    assert "audio 0:05 of ~1:20" in run.line(100)
    run.update(1, 0.0, 50.0)
    assert "audio 0:05 of 1:10" in run.line(100)


def test_a_file_that_failed_takes_no_more_time() -> None:
    run = RunProgress("", [FileProgress("", 100.0), FileProgress("", 100.0)])
    run.end(0)
    run.update(1, 50.0, 100.0)
    assert "1 of 2 files" in run.line(100)
    assert " 50 %" in run.line(100)


def test_a_pipe_has_no_share_and_no_time_left() -> None:
    clock = Clock()
    run = RunProgress("stdin", [FileProgress()], clock)
    clock.now = 2.0
    run.update(0, 10.0, None)
    assert run.line(79) == "stdin  audio 0:10  5.0 x real time"


@pytest.mark.parametrize(
    ("width", "name", "done"),
    list(itertools.product((20, 40, 79, 200), ("a.wav", "x" * 300), (0.0, 3599.0, 360_000.0))),
)
def test_a_line_fits(width: int, name: str, done: float) -> None:
    clock = Clock()
    for count in (1, 12_345):
        run = RunProgress(name, [FileProgress("", 400.0) for _ in range(count)], clock)
        clock.now += 100.0
        run.update(0, done, 400_000.0)
        line = run.line(width)
        assert len(line) <= width
        if width >= 79:
            assert " % " in line
            assert "audio" in line or count > 1
