"""Peak memory of `encode` and `decode` as processes of their own, for a short and a long recording.

    python benchmarks/memory.py [AUDIO...] [--model ecli_24khz] [--minutes 5 60]

AUDIO is repeated until it is long enough (samples/speech.wav if none is given). `--model random`
is EnCodec 24 kHz, LSTM included, with random weights: memory does not depend on them.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from encodec_cli import get_compression_model
from encodec_cli.audio import open_audio, open_audio_writer, read_mono
from encodec_cli.checkpoints.modules import save_model
from encodec_cli.config.bundled import configs_folder

RATE = 24_000
SAMPLE = Path(__file__).resolve().parent.parent / "samples" / "speech.wav"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("audio", nargs="*", type=Path, default=[SAMPLE])
    parser.add_argument("--model", default="ecli_24khz", help="a name, a path, or random")
    parser.add_argument("--minutes", nargs="+", type=float, default=[5.0, 60.0])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="memory-") as name:
        folder = Path(name)
        model = arguments.model
        if model == "random":
            model = str(random_model(folder / "random.safetensors"))
        for minutes in arguments.minutes:
            source, packed = folder / "in.wav", folder / "x.ecdc"
            repeat(arguments.audio, source, minutes)
            for command, paths in (
                ("encode", (source, packed)),
                ("decode", (packed, folder / "out.wav")),
            ):
                peak_mb, seconds = measured(command, *map(str, paths), "-m", model, "--force")
                print(
                    f"{command}: {minutes:g} min, peak {peak_mb:.0f} MB, "
                    f"{60 * minutes / seconds:.1f} x real time",
                    flush=True,
                )


def measured(*arguments: str) -> tuple[float, float]:
    """Peak resident MB and seconds of one command."""
    started = time.monotonic()
    child = subprocess.Popen(
        [sys.executable, "-m", "encodec_cli", *arguments, "--threads", "1", "--quiet"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    _, status, usage = os.wait4(child.pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit(f"{arguments[0]} failed")
    return usage.ru_maxrss * 1024 / 1e6, time.monotonic() - started


def random_model(path: Path) -> Path:
    """EnCodec 24 kHz with random weights, as a file."""
    torch.manual_seed(0)
    model = get_compression_model(configs_folder() / "encodec_24khz.yaml").eval()
    for codebook in model.quantizer.codebooks:
        codebook.embed.normal_(std=0.1)
    save_model(model, path, licence="none", training_data="none", half=False)
    return path


def repeat(sources: list[Path], target: Path, minutes: float) -> None:
    """Write `minutes` of the recordings, one after the other, over and over."""
    recordings = [read_mono(path, RATE) for path in sources]
    left = round(minutes * 60 * RATE)
    with open_audio_writer(target, RATE, 1, force=True) as writer:
        while left > 0:
            for recording in recordings:
                block = np.atleast_2d(recording)[:, :left]
                if block.shape[1] > 0:
                    writer.write(block.astype(np.float32))
                left -= block.shape[1]
    with open_audio(target) as reader:
        if reader.num_frames != round(minutes * 60 * RATE):
            sys.exit(f"{target}: has {reader.num_frames} samples")


if __name__ == "__main__":
    main()
