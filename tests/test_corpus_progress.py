"""The line that tells how far a run over a corpus is."""

from encodec_cli.cli.corpus_progress import CorpusProgress


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_hours_speed_time_left_and_failures() -> None:
    clock = Clock()
    progress = CorpusProgress(total=7200.0, clock=clock)
    assert progress.line(100) == "  0 %  0.00 of ~2.00 h  0 items"
    clock.now = 60.0
    progress.update("a", 600.0)
    progress.update("b", 1000.0)
    expected = " 22 %  0.44 of ~2.00 h  26.7 x real time  3:30 left  0 items"
    assert progress.line(100) == expected
    progress.ended("a", 1800.0)
    progress.ended("b", None)
    assert progress.line(100).split("  ")[-2:] == ["1 item", "1 failed"]
    progress.add(1000, 1800.0, 2)
    line = progress.line(100)
    assert line.startswith(" 50 %  1.00 of ~2.00 h  60.0 x real time  1:00 left")
    assert line.endswith("1,001 items  3 failed")


def test_more_than_was_expected_is_not_more_than_all() -> None:
    progress = CorpusProgress(total=100.0)
    progress.add(1, 150.0, 0)
    assert progress.line(80).startswith("100 %  0.04 of ~0.04 h")


def test_without_a_total_there_is_no_share() -> None:
    progress = CorpusProgress()
    progress.add(3, 3600.0 * 500, 0)
    assert progress.line(80).startswith("500 h")


def test_it_fits() -> None:
    progress = CorpusProgress(total=3600.0 * 12_345)
    progress.add(1_234_567, 3600.0 * 1234, 89)
    for width in range(1, 100):
        assert len(progress.line(width)) <= width
    assert "failed" in progress.line(40)
