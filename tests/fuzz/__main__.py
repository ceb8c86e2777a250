"""Fuzz for hours:  python -m tests.fuzz --hours 1 [--reader v1 --reader torch] [--seed 7]

Every round takes each reader with a new seed. Files that fail are kept in tests/fuzz/corpus/READER,
where the test finds them from then on.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]

from fuzz.readers import READERS
from fuzz.run import CORPUS, run_worker


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.fuzz")
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--reader", action="append", choices=sorted(READERS))
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    end, seed, cases, failures = time.monotonic() + 3600 * options.hours, options.seed, 0, 0
    while time.monotonic() < end:
        for name in options.reader or sorted(READERS):
            if time.monotonic() > end:
                break
            count = 2 * READERS[name].cases
            found = run_worker(name, f"round{seed}", count, keep=CORPUS)
            cases, failures = cases + count, failures + len(found)
            print(f"{name}: seed {seed}, {count} cases, {len(found)} failed", flush=True)
            for failure in found:
                print(f"{failure['case']}:\n{failure['wrong']}", flush=True)
        seed += 1
    print(f"{cases} cases, {failures} failed")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
