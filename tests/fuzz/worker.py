"""One process that reads spoiled files with one reader, under limits of time and memory.

    python -m fuzz.worker READER SEED COUNT SCRATCH        cases made from a seed, COUNT of them
    python -m fuzz.worker READER FILES... --files SCRATCH  files as they are

Prints one line of JSON per failure. The case at work lies in SCRATCH, for when the process dies.
"""

import contextlib
import json
import random
import resource
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType

from fuzz.readers import READERS, Reader

from encodec_cli.errors import EncodecCliError

SECONDS = 4
"""CPU time of a case: two above the work of the largest seeds, on a machine half as fast."""
MEGABYTES = 512
"""Address space above what the process has after its imports, 256 MB and what libraries map."""


class TooLong(BaseException):
    """A case took more CPU time than its bytes justify."""


def outcome(reader: Reader, path: Path) -> str | None:
    """What is wrong with how a file was read; None if nothing is."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        reader.read(path)
    except EncodecCliError as error:
        text = str(error)
        if "\n" in text or not text:
            return f"a message of several lines: {text[:200]!r}"
    except TooLong:
        return f"more than {SECONDS} s of CPU time"
    except BaseException:
        return traceback.format_exc(limit=-6)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return None


def limit(reader: Reader, scratch: Path) -> None:
    """Read whole files once, so that all is imported, then set the limits."""
    for data in reader.seeds():
        path = scratch / f"seed{reader.suffix}"
        path.write_bytes(data)
        with contextlib.suppress(EncodecCliError):
            reader.read(path)

    def stop(number: int, frame: FrameType | None) -> None:
        raise TooLong

    signal.signal(signal.SIGPROF, stop)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + (MEGABYTES << 20)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def main(arguments: list[str]) -> None:
    reader, scratch = READERS[arguments[0]], Path(arguments[-1])
    limit(reader, scratch)
    path = scratch / f"case{reader.suffix}"
    if arguments[-2] == "--files":
        for name in arguments[1:-2]:
            wrong = outcome(reader, Path(name))
            if wrong is not None:
                print(json.dumps({"case": name, "wrong": wrong}), flush=True)
        return
    seeds = reader.seeds()
    for number in range(int(arguments[2])):
        rng = random.Random(f"{arguments[1]} {number}")
        data = rng.choice(seeds)
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            try:
                data = reader.mutate(rng, data)
            except Exception:  # spoiled beyond what the next mutator understands
                break
        path.write_bytes(data)
        wrong = outcome(reader, path)
        if wrong is not None:
            kept = scratch / f"failed-{arguments[1]}-{number}{reader.suffix}"
            kept.write_bytes(data)
            print(json.dumps({"case": str(kept), "wrong": wrong}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
