"""A stand-in for SLURM's `sbatch`, for scripts of array jobs.

    python slurm_standin.py [--array LIST] [--wait] SCRIPT [ARGUMENTS]

Reads `#SBATCH --array` and `--requeue` from the script as SLURM does, and starts a task for each
number, all at once, in the working folder, with SLURM's variables. A task writes to
`slurm-1_NUMBER.out`; the id of its process group is in `slurm-1_NUMBER.pid`. One that a signal has
killed, as if its machine was lost, is started again if the script says `--requeue`. Ends when all
tasks have, with their highest exit code; SLURM itself does so with `--wait`.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

JOB = "1"


def numbers(text: str) -> Iterator[int]:
    """Those of `1-4`, `1,3`, `0-6:2`, with or without `%2` at the end."""
    for part in text.partition("%")[0].split(","):
        span, _, step = part.partition(":")
        first, _, last = span.partition("-")
        yield from range(int(first), int(last or first) + 1, int(step or 1))


def run_task(number: int, tasks: list[int], script: Path, arguments: list[str]) -> int:
    """Run a task, again if it was killed; its exit code."""
    text = script.read_text(encoding="utf-8")
    requeue = re.search(r"^#SBATCH --requeue\b", text, re.MULTILINE) is not None
    variables = {
        "SLURM_JOB_ID": JOB,
        "SLURM_ARRAY_JOB_ID": JOB,
        "SLURM_ARRAY_TASK_ID": str(number),
        "SLURM_ARRAY_TASK_COUNT": str(len(tasks)),
        "SLURM_ARRAY_TASK_MIN": str(min(tasks)),
        "SLURM_ARRAY_TASK_MAX": str(max(tasks)),
    }
    name = f"slurm-{JOB}_{number}"
    for restart in range(3):
        restarts = {"SLURM_RESTART_COUNT": str(restart)} if restart else {}
        with Path(f"{name}.out").open("ab") as output:
            child = subprocess.Popen(
                ["bash", str(script), *arguments],
                env={**os.environ, **variables, **restarts},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            Path(f"{name}.pid").write_text(str(child.pid), encoding="utf-8")
            code = child.wait()
        if code >= 0 or not requeue:
            break
    return abs(code)


def main() -> int:
    """Submit; the exit code."""
    arguments = sys.argv[1:]
    given = ""
    while arguments[0].startswith("--"):
        option = arguments.pop(0)
        if option.startswith("--array="):
            given = option.partition("=")[2]
        elif option != "--wait":
            raise SystemExit(f"sbatch: this stand-in has no {option}")
    script = Path(arguments.pop(0))
    stated = re.search(r"^#SBATCH --array=(\S+)", script.read_text(encoding="utf-8"), re.MULTILINE)
    if not given and stated is None:
        raise SystemExit(f"sbatch: {script} names no --array")
    tasks = list(numbers(given or (stated[1] if stated else "")))
    print(f"Submitted batch job {JOB}")
    with ThreadPoolExecutor(len(tasks)) as pool:
        codes = pool.map(lambda number: run_task(number, tasks, script, arguments), tasks)
        return max(codes)


if __name__ == "__main__":
    sys.exit(main())
