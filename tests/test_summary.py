"""Means and intervals against printed tables, and the order of groups."""

import pytest

from encodec_cli.evaluation.evaluate import Row
from encodec_cli.evaluation.summary import mean_interval, student_quantile, summarize


@pytest.mark.parametrize(
    ("probability", "degrees", "expected"),
    [
        (0.975, 1, 12.7062),
        (0.975, 2, 4.3027),
        (0.975, 9, 2.2622),
        (0.975, 30, 2.0423),
        (0.95, 5, 2.0150),
        (0.995, 3, 5.8409),
        (0.5, 4, 0.0),
        (0.975, 100_000, 1.9600),
    ],
)
def test_students_t(probability: float, degrees: int, expected: float) -> None:
    assert student_quantile(probability, degrees) == pytest.approx(expected, abs=1e-4)


def test_interval_of_a_mean() -> None:
    one = mean_interval([3.0])
    assert (one.value, one.half_width, one.count) == (3.0, None, 1)
    four = mean_interval([1.0, 2.0, 3.0, 4.0])  # too few to tell how they spread
    assert (four.value, four.half_width, four.count) == (2.5, None, 4)
    same = mean_interval([2.0] * 5)
    assert (same.value, same.half_width) == (2.0, 0.0)
    # Standard deviation 1.5811 over the root of 5, times 2.7764.
    five = mean_interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (five.value, five.count) == (3.0, 5)
    assert five.half_width == pytest.approx(1.9633, abs=1e-4)


def row(kind: str | None, codec: str, kbps: float, si_sdr: float, **metrics: float) -> Row:
    return Row(
        recording="x.wav",
        kind=kind,
        codec=codec,
        bandwidth=kbps,
        seconds=2.0,
        bytes=round(250 * kbps),
        encode_speed=None,
        decode_speed=10.0,
        clipped=3,
        metrics={"si_sdr": si_sdr, **metrics},
    )


def test_rows_are_grouped_in_their_order() -> None:
    rows = [
        row("speech", "ours", 6, 4.0, pesq=2.0),
        row("speech", "opus", 8, 5.0, pesq=3.0),
        row("music", "ours", 6, 1.0),
        row("speech", "ours", 6, 8.0),
    ]
    first, second, third = summarize(rows)
    assert (first.kind, first.codec, first.bandwidth) == ("speech", "ours", 6)
    assert (first.recordings, first.clipped) == (2, 6)
    assert first.means["si_sdr"].value == 6.0
    assert first.means["kbps"].value == pytest.approx(6.0)
    assert "encode_speed" not in first.means
    assert (first.means["pesq"].value, first.means["pesq"].count) == (2.0, 1)
    assert (second.kind, second.codec) == ("speech", "opus")
    assert (third.kind, third.codec, third.means.keys() & {"pesq"}) == ("music", "ours", set())
    assert summarize([]) == []
