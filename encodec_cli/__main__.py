"""`encodec-cli` and `python -m encodec_cli`."""

import io
import os
import signal
import sys
from pathlib import Path

# Before numpy or torch are imported: threads of BLAS and OpenMP that wait for each other's share of
# one product spin, and cost a busy machine many times the work. `--threads` has its own.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("VECLIB_MAXIMUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Until `main` watches for signals, Ctrl-C ends the program as it ends any, without a traceback.
if (__name__ == "__main__" or Path(sys.argv[0]).stem == "encodec-cli") and signal.getsignal(
    signal.SIGINT
) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from encodec_cli.cli.console import warn
from encodec_cli.cli.process import Stopped, StopSignals, open_descriptors
from encodec_cli.cli.wording import in_options
from encodec_cli.errors import EncodecCliError
from encodec_cli.io.files import FULL, drop_unwritable

__all__ = ["main"]


def main() -> None:
    """Run the command line; the one place where errors become exit codes."""
    open_descriptors()
    signals = StopSignals()
    signals.watch()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # file names may hold what it cannot encode
            stream.reconfigure(errors="backslashreplace")
    code: object = 1
    try:
        code = _run()
    except Stopped:
        pass
    finally:
        signals.done()  # of a signal, that is the end, whatever it was turned into on its way
    sys.exit(code)  # type: ignore[arg-type]


def _run() -> object:
    """The exit code of the command in the arguments."""
    try:
        from encodec_cli.cli.app import run_app

        try:
            run_app()
        except SystemExit as left:
            return left.code
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except EncodecCliError as error:
        warn(in_options(error), label="error", style="bold red")
        return error.exit_code
    except MemoryError:
        warn("out of memory", label="error", style="bold red")
    except BrokenPipeError:  # whoever read our output has left
        drop_unwritable()
    except OSError as error:
        place = "stdout: " if error.errno in FULL else ""
        place = f"{error.filename}: " if error.filename else place
        warn(f"{place}{error.strerror or error}", label="error", style="bold red")
        drop_unwritable()
    return 1


if __name__ == "__main__":
    main()
