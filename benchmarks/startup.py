"""How much longer `encode` of a second takes from the shell than importing torch.

    python benchmarks/startup.py [--runs 11]

Both in turn, one thread; medians of the wall clock, and of CPU time, which a busy machine disturbs
less.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from encodec_cli.audio import open_audio_writer

RATE = 24_000
GOAL_S = 0.6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=11)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory(prefix="startup-") as name:
        source = Path(name) / "second.wav"
        with open_audio_writer(source, RATE, 1) as writer:
            noise = np.random.default_rng(0).standard_normal((1, RATE))
            writer.write((0.1 * noise).astype(np.float32))
        target = str(source.with_suffix(".ecdc"))
        encode = ["-m", "encodec_cli", "encode", str(source), target, "--force", "--quiet"]
        commands = {"import torch": ["-c", "import torch"], "encode": encode}
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(runs + 1):
            for what, arguments in commands.items():
                times[what].append(timed(arguments))
    medians = {
        what: [statistics.median(column) for column in zip(*rows[1:], strict=True)]
        for what, rows in times.items()
    }
    for what, (wall, cpu) in medians.items():
        print(f"{what}: {wall:.2f} s, {cpu:.2f} s of CPU time")
    wall, cpu = (b - a for a, b in zip(*medians.values(), strict=True))
    print(f"difference: {wall:.2f} s, {cpu:.2f} s of CPU time (goal: at most {GOAL_S} s)")


def timed(arguments: list[str]) -> tuple[float, float]:
    """Wall clock and CPU seconds of a Python process."""
    started = time.monotonic()
    child = subprocess.Popen(
        [sys.executable, *arguments], env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.monotonic() - started
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit(f"{arguments} failed")
    return wall, usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
