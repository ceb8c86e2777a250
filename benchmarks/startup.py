"""What a command of a shell script costs: `encode` and `decode` of a second, beside `import torch`.

    python benchmarks/startup.py [--runs 11] [--against CHECKOUT]

All in turn, with the default threads; medians of wall and CPU time, and the peak memory. With
another checkout of this project, that of an older version say, its commands run in turn too.
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

HERE = Path(__file__).resolve().parent.parent
RATE = 24_000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=11)
    parser.add_argument("--against", type=Path, help="another checkout of this project")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="startup-") as folder:
        commands = {"import torch": (HERE, ["-c", "import torch"])}
        commands |= coding(HERE, Path(folder), "")
        if arguments.against is not None:
            commands |= coding(arguments.against.resolve(), Path(folder), ", other checkout")
        rows: dict[str, list[tuple[float, float, float]]] = {name: [] for name in commands}
        for _ in range(arguments.runs + 1):
            for name, (checkout, command) in commands.items():
                rows[name].append(measured(checkout, command))
    for name, runs in rows.items():
        wall, cpu, peak = map(statistics.median, zip(*runs[1:], strict=True))
        print(f"{name}: {wall:.2f} s, {cpu:.2f} s of CPU time, {peak:.0f} MB")


def coding(checkout: Path, folder: Path, where: str) -> dict[str, tuple[Path, list[str]]]:
    """Commands that encode and decode a second with the program in `checkout`."""
    source = folder / "second.wav"
    with open_audio_writer(source, RATE, 1, force=True) as writer:
        noise = np.random.default_rng(0).standard_normal((1, RATE))
        writer.write((0.1 * noise).astype(np.float32))
    coded = folder / f"second{len(where)}.ecdc"
    quiet = ["--force", "--quiet"]
    encode = ["-m", "encodec_cli", "encode", str(source), str(coded), *quiet]
    decode = ["-m", "encodec_cli", "decode", str(coded), str(folder / "back.wav"), *quiet]
    measured(checkout, encode)  # there is something to decode
    return {
        f"encode 1 s{where}": (checkout, encode),
        f"decode 1 s{where}": (checkout, decode),
    }


def measured(checkout: Path, command: list[str]) -> tuple[float, float, float]:
    """Wall and CPU seconds, and peak MB, of a Python process with the package of `checkout`."""
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    started = time.monotonic()
    child = subprocess.Popen([sys.executable, *command], env=environment, cwd="/")
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.monotonic() - started
    if status:
        raise SystemExit(f"{' '.join(command)}: failed")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
