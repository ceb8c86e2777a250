"""What the process needs around it: standard descriptors that are open, signals that end it."""

import os
import signal
import sys
import weakref
from contextlib import suppress
from types import FrameType

__all__ = ["StopSignals", "Stopped", "open_descriptors"]

_NUMBERS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
_MOST = 3
_AGAIN_SECONDS = 1.0


def open_descriptors() -> None:
    """Open descriptors 0, 1 and 2 on nothing where the shell has closed them.

    Otherwise the next files would get these numbers, and what C libraries print would go into them.
    Python's own streams stay None, which tells that they were closed.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


class Stopped(BaseException):
    """A signal asked us to stop; not an Exception, so that only clean-up code sees it."""

    def __init__(self, signals: "StopSignals") -> None:
        super().__init__()
        signals.raised = weakref.ref(self)


class StopSignals:
    """Turns signals that end a program into `Stopped`, in the main thread, and then into its death.

    Attributes:
        raised: the exception on its way, or dead, once there was one.
    """

    def __init__(self) -> None:
        self.raised: weakref.ref[Stopped] | None = None
        self._first: int | None = None
        self._count = 0

    def watch(self) -> None:
        """From now on; signals that are ignored, as under nohup, stay so."""
        for number in _NUMBERS:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._arrived)
        sys.unraisablehook = self._dropped

    def done(self) -> None:
        """The program has ended, or all is cleaned up: die of the signal, if there was one.

        A shell loop around us then stops as well.
        """
        sys.unraisablehook = sys.__unraisablehook__
        if self._first is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
            _say_stopped(self._first)
            _die_of(self._first)

    def _dropped(self, lost: "sys.UnraisableHookArgs") -> None:
        """Python drops exceptions in finalizers, and says so; `Stopped` comes again by itself."""
        if lost.exc_type is not Stopped:
            sys.__unraisablehook__(lost)

    def _arrived(self, number: int, frame: FrameType | None) -> None:
        if number != signal.SIGALRM:
            self._count += 1
            if self._count > _MOST:  # they mean it; until then, cleaning up goes on
                _die_of(number)
        if self._first is None:
            self._first = number
            signal.signal(signal.SIGALRM, self._arrived)
        elif self.raised is not None and self.raised() is not None:
            return
        # Foreign code may drop the exception: then it is gone, and raised again a moment later.
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS, _AGAIN_SECONDS)
        raise Stopped(self)


def _say_stopped(number: int) -> None:
    """One line on stderr, below what Ctrl-C left there."""
    words = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
    # Straight to the descriptor: the stream may be in the middle of a line, or closed.
    with suppress(OSError):
        below = "\n" if os.isatty(2) else ""
        line = f"{below}encodec-cli: stopped by {words}; nothing half-written is left\n"
        os.write(2, line.encode())


def _die_of(number: int) -> None:
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
