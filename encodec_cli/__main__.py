"""`encodec-cli` and `python -m encodec_cli`."""

import os
import signal
import sys
from types import FrameType

from encodec_cli.cli.console import warn
from encodec_cli.errors import EncodecCliError

__all__ = ["main"]


class _Stopped(BaseException):
    """A signal asked us to stop; not an Exception, so that only clean-up code sees it."""


def main() -> None:
    """Run the command line; the one place where errors become exit codes."""
    from encodec_cli.cli.app import app

    stopped_by: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        stopped_by.append(number)
        raise _Stopped

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    try:
        app(prog_name="encodec-cli")
    except EncodecCliError as error:
        warn(str(error), label="error", style="bold red")
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # Whoever read our output has left. Point stdout elsewhere, or the interpreter would
        # complain about the bytes it cannot flush any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except _Stopped:
        # Die of the signal itself: a shell loop around us then stops as well.
        number = stopped_by[0]
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


if __name__ == "__main__":
    main()
