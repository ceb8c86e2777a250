"""How far a run over a corpus is, in hours: one line, however many items there are."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from encodec_cli.cli.progress import clock_words

__all__ = ["CorpusProgress"]

_SOON_SECONDS = 0.5


@dataclass
class CorpusProgress:
    """Seconds of audio done, of about so many. Updates come from any thread.

    Attributes:
        total: seconds in all, about; None if nobody knows.
        items: done.
        failed: items that failed.
        clock: seconds; the run begins now.
    """

    total: float | None = None
    items: int = 0
    failed: int = 0
    clock: Callable[[], float] = time.monotonic
    _done: float = 0.0
    _running: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._started = self.clock()

    def update(self, key: str, done: float) -> None:
        """The item `key` is at `done` seconds."""
        with self._lock:
            self._running[key] = done

    def ended(self, key: str, seconds: float | None) -> None:
        """The item `key` is done, and has so many seconds; None: it has failed."""
        with self._lock:
            self._running.pop(key, None)
        self.add(0 if seconds is None else 1, seconds or 0.0, 1 if seconds is None else 0)

    def add(self, items: int, seconds: float, failed: int) -> None:
        """So many more items are done, which have these seconds, and have failed."""
        with self._lock:
            self.items += items
            self.failed += failed
            self._done += seconds

    def line(self, width: int, *, bar: bool = True) -> str:
        """What to show in `width` columns; hours per hour are times real time."""
        with self._lock:
            done = self._done + sum(self._running.values())
            items, failed = self.items, self.failed
        elapsed = self.clock() - self._started
        speed = done / elapsed if elapsed > _SOON_SECONDS else 0.0
        if self.total:
            share = f"{100 * min(1.0, done / self.total):3.0f} %"
            words = [share, f"{_hours(done)} of ~{_hours(max(done, self.total))} h"]
        else:
            words = [f"{_hours(done)} h"]
        if speed > 0:
            words.append(f"{speed:.1f} x real time")
            if self.total:
                words.append(f"{clock_words(max(0.0, self.total - done) / speed)} left")
        words.append(f"{items:,} item{'' if items == 1 else 's'}")
        if failed:
            words.append(f"{failed:,} failed")
        while len("  ".join(words)) > width and len(words) > 1:
            del words[-2 if len(words) > 2 else -1]
        return "  ".join(words)[:width]


def _hours(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:.2f}" if hours < 100 else f"{hours:,.0f}"
