"""What `encode` and `decode` say of a file that is done."""

from collections.abc import Sequence

from encodec_cli.cli.batch import Job

__all__ = ["arrow", "duration_words", "speed_words"]


def arrow(source: str, target: str) -> str:
    """From where to where."""
    return f"{'stdin' if source == '-' else source} -> {'stdout' if target == '-' else target}"


def speed_words(speed: float, jobs: Sequence[Job]) -> str:
    """Times real time, to end a line with; empty where files share the machine.

    How long one of many took says nothing about speed.
    """
    return f", {speed:.1f} x real time" if len(jobs) == 1 else ""


def duration_words(seconds: float) -> str:
    """Minutes, if any, and seconds."""
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)} min {rest:.1f} s" if minutes else f"{rest:.2f} s"
