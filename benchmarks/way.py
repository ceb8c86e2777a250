"""Which functions of ours one second of audio crosses, from WAV to `.ecdc` and back.

    python benchmarks/way.py [--brief]

A function counts if it is called at least every other second: more often for 30 s than for 10 s.
List comprehensions do not count, which newer versions of Python do not call.
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import soundfile

import encodec_cli
from encodec_cli import load_model
from encodec_cli.pipeline.decode import DecodeOptions, decode_file
from encodec_cli.pipeline.encode import EncodeOptions, encode_file

SAMPLE = Path(__file__).resolve().parent.parent / "samples" / "speech.wav"
ROOT = Path(encodec_cli.__file__).parent
SECONDS = (10, 30)

Place = tuple[str, str]  # file, function


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--brief", action="store_true", help="only how many there are")
    brief = parser.parse_args().brief
    model = load_model(device="cpu")
    sound, rate = soundfile.read(SAMPLE)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for seconds in SECONDS:
            soundfile.write(folder / f"{seconds}.wav", np.resize(sound, seconds * rate), rate)

        def encode(seconds: int) -> None:
            wav, coded = folder / f"{seconds}.wav", folder / f"{seconds}.ecdc"
            encode_file(model, wav, coded, EncodeOptions(n_q=8, force=True))

        def decode(seconds: int) -> None:
            coded, out = folder / f"{seconds}.ecdc", folder / f"{seconds}.out.wav"
            decode_file(model, coded, out, DecodeOptions(force=True))

        for task in (encode, decode):
            show(task.__name__, crossed(task), brief)


def crossed(task: Callable[[int], None]) -> dict[Place, float]:
    """Calls a second of each function, in the order of the first call."""
    task(SECONDS[0])  # what is made once is made now
    short, long = (calls(lambda n=n: task(n)) for n in SECONDS)
    more = SECONDS[1] - SECONDS[0]
    each = {place: (long[place] - short[place]) / more for place in long}
    return {place: rate for place, rate in each.items() if rate >= 0.5}


def calls(task: Callable[[], None]) -> Counter[Place]:
    """How often each of our functions is called."""
    counted: Counter[Place] = Counter()

    def count(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        ours = code.co_filename.startswith(f"{ROOT}/") and not code.co_name.endswith("comp>")
        if event == "call" and ours:
            counted[str(Path(code.co_filename).relative_to(ROOT)), code.co_qualname] += 1

    sys.setprofile(count)
    try:
        task()
    finally:
        sys.setprofile(None)
    return counted


def show(name: str, found: dict[Place, float], brief: bool) -> None:
    """Print the functions, file by file."""
    files: dict[str, list[str]] = {}
    for (file, function), rate in found.items():
        files.setdefault(file, []).append(f"{function} {rate:.1f}")
    print(f"{name}: {len(files)} files, {len(found)} functions")
    if not brief:
        for file, functions in files.items():
            print(f"    {file}: {', '.join(functions)}")


if __name__ == "__main__":
    main()
