"""What `encode` and `decode` say of a file that is done."""

__all__ = ["arrow", "duration_words", "speed_words"]


def arrow(source: str, target: str) -> str:
    """From where to where."""
    return f"{'stdin' if source == '-' else source} -> {'stdout' if target == '-' else target}"


def speed_words(speed: float, *, many: bool) -> str:
    """Times real time, to end a line with; empty where files share the machine.

    How long one of many took says nothing about speed.
    """
    return "" if many else f", {speed:.1f} x real time"


def duration_words(seconds: float) -> str:
    """Hours and minutes, if any, and seconds."""
    minutes, rest = divmod(seconds, 60)
    if not minutes:
        return f"{rest:.2f} s"
    hours, minutes = divmod(int(minutes), 60)
    return f"{f'{hours} h ' if hours else ''}{minutes} min {rest:.1f} s"
