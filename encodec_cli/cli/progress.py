"""How far a run is: files, seconds of audio, times real time, time left; one line for all of it."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

__all__ = ["FileProgress", "RunProgress", "clock_words"]

_LEAST_BAR = 6
_MOST_BAR = 40
_SOON_SECONDS = 0.5


@dataclass
class FileProgress:
    """One input: `expected` seconds by its size (None: a pipe), alike in `kind`; then what is seen.

    `total` is what its reader says, `done` what went through.
    """

    kind: str = ""
    expected: float | None = None
    total: float | None = None
    done: float = 0.0
    ended: bool = False


@dataclass
class RunProgress:
    """Seconds of audio done of all that a run has to do.

    Updates come from any thread. Lengths of files that were not opened yet are estimated from their
    sizes, corrected by what the opened ones of their kind turned out to hold.

    Attributes:
        name: of the one file, or what is done with each.
        files: the inputs.
        clock: seconds; the run begins now.
    """

    name: str
    files: Sequence[FileProgress]
    clock: Callable[[], float] = time.monotonic
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._started = self.clock()

    def update(self, number: int, done: float, total: float | None) -> None:
        """File `number` is at `done` of `total` seconds."""
        with self._lock:
            self.files[number].done = done
            self.files[number].total = total

    def end(self, number: int) -> None:
        """File `number` is done, or has failed."""
        with self._lock:
            self.files[number].ended = True

    def line(self, width: int, *, bar: bool = True) -> str:
        """What to show in `width` columns, with a bar if there is room."""
        with self._lock:
            done = sum(file.done for file in self.files)
            total, exact = self._total()
            ended = sum(file.ended for file in self.files)
        elapsed = self.clock() - self._started
        speed = done / elapsed if elapsed > _SOON_SECONDS else 0.0
        share = None if not total else min(1.0, done / total)
        words = self._words(done, None if share is None else total, exact, speed)
        if share is not None:
            words.insert(0, f"{100 * share:3.0f} %")
        many = len(self.files) > 1
        name = f"{ended} of {len(self.files)} files" if many else self.name
        rest = "  ".join(words)
        while len(rest) + len(name) + 2 > width and many and len(words) > 2:
            del words[1]
            rest = "  ".join(words)
        return _fitted(name, rest, share if bar else None, width)

    def _words(self, done: float, total: float | None, exact: bool, speed: float) -> list[str]:
        if total is None:
            words = [f"audio {clock_words(done)}"]
        else:
            about = "" if exact else "~"
            words = [f"audio {clock_words(done)} of {about}{clock_words(max(done, total))}"]
        if speed > 0:
            words.append(f"{speed:.1f} x real time")
            if total is not None:
                words.append(f"{clock_words(max(0.0, total - done) / speed)} left")
        return words

    def _total(self) -> tuple[float | None, bool]:
        """Seconds in all, and whether all of it is known rather than estimated."""
        seen: dict[str, list[float]] = {}
        for file in self.files:
            if file.total is not None and file.expected:
                sums = seen.setdefault(file.kind, [0.0, 0.0])
                sums[0] += file.total
                sums[1] += file.expected
        total, exact = 0.0, True
        for file in self.files:
            if file.ended:
                total += file.done
            elif file.total is not None:
                total += file.total
            elif file.expected is None:
                return None, False
            else:
                actual, expected = seen.get(file.kind, (1.0, 1.0))
                total += file.expected * actual / expected
                exact = False
        return total, exact


def clock_words(seconds: float) -> str:
    """m:ss or h:mm:ss."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _fitted(name: str, rest: str, share: float | None, width: int) -> str:
    """The parts of a line in at most `width` columns: the bar goes first, then a name's middle."""
    room = width - len(rest) - 2
    bar_room = room - min(len(name), 24) - 4
    bar = ""
    if share is not None and bar_room >= _LEAST_BAR:
        cells = min(_MOST_BAR, bar_room)
        full = int(cells * share)
        bar = f"  [{'#' * full}{'-' * (cells - full)}]"
        room -= len(bar)
    if len(name) > room:
        keep = max(0, room - 3)
        name = f"{name[: keep - keep // 2]}...{name[len(name) - keep // 2 :]}" if keep else ""
    return f"{name}{bar}  {rest}"[:width]
