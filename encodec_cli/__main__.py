"""`encodec-cli` and `python -m encodec_cli`."""

import io
import os
import signal
import sys
from types import FrameType

# Before numpy or torch are imported: threads of BLAS and OpenMP that wait for each other's share of
# one product spin, and cost a busy machine many times the work. `--threads` has its own.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("VECLIB_MAXIMUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from encodec_cli.cli.console import warn
from encodec_cli.cli.wording import in_options
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
        if len(stopped_by) == 1:
            raise _Stopped
        if len(stopped_by) > 3:  # they mean it; until then, a second one must not stop cleaning up
            _die_of(number)

    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup, or in the background
            signal.signal(number, stop)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # file names may hold what it cannot encode
            stream.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="encodec-cli")
    except EncodecCliError as error:
        warn(in_options(error), label="error", style="bold red")
        sys.exit(error.exit_code)
    except MemoryError:
        warn("out of memory", label="error", style="bold red")
        sys.exit(1)
    except BrokenPipeError:
        # Whoever read our output has left. Point stdout elsewhere, or the interpreter would
        # complain about the bytes it cannot flush any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        warn(f"{place}{error.strerror or error}", label="error", style="bold red")
        sys.exit(1)
    except _Stopped:
        # Die of the signal itself: a shell loop around us then stops as well.
        _die_of(stopped_by[0])


def _die_of(number: int) -> None:
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


if __name__ == "__main__":
    main()
