"""Starts workers and gathers what they find."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
CORPUS = HERE / "corpus"


def run_worker(reader: str, *arguments: object, keep: Path | None = None) -> list[dict[str, str]]:
    """What a worker found wrong; `keep` is a folder for the files that failed."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        command = [sys.executable, "-m", "fuzz.worker", reader, *map(str, arguments), scratch]
        path = os.pathsep.join([str(HERE.parent), str(HERE.parent.parent)])
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        changes = {"PYTHONPATH": path, **dict.fromkeys(names, "1")}
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            env={**os.environ, **changes},
        )
        found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        if done.returncode:
            died = f"the process ended with {done.returncode}: {done.stderr[-2000:]}"
            current = next(Path(scratch).glob("case.*"), None)
            found.append({"case": str(current), "wrong": died})
        for failure in found:
            case = Path(failure["case"])
            if keep is not None and case.is_file() and CORPUS not in case.parents:
                (keep / reader).mkdir(parents=True, exist_ok=True)
                failure["case"] = str(shutil.copy(case, keep / reader))
        return found


def corpus(reader: str) -> Sequence[Path]:
    """Files that have failed before."""
    return sorted((CORPUS / reader).glob("*.*"))
