"""Speed of `tokens` against the loop that people write: transformers' EncodecModel, file by file.

    python benchmarks/tokens.py [--files 24] [--runs 3] [--threads 1 2] [--clock wall] [FOLDER]

Builds EnCodec 24 kHz with random weights (speed does not depend on them), saves it as transformers
does, and codes the same recordings with the same weights both ways, in turn, at 6 kb/s: reading,
resampling and writing included. Recordings are those of FOLDER, or noise of 5 to 20 s at 24 kHz in
FLAC. Prints medians in seconds of audio a second, and ratios; then our speed with each number of
threads divided by that with one. Needs the `test` extra. `--clock cpu` counts processor time of the
process, which tells more on a machine that others use, and nothing of threads.
"""

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from encodec_cli.checkpoints.choice import LoadedModels, ModelChoice
from encodec_cli.corpus import Corpus
from encodec_cli.pipeline.shard_jobs import CodesOptions, ShardJob, run_shards
from encodec_cli.pipeline.shard_plan import Plan
from encodec_cli.tokens import ShardTarget

RATE = 24_000
BANDWIDTH = 6.0
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", help="recordings of any format")
    parser.add_argument("--files", type=int, default=24, help="how many, at most")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--clock", choices=sorted(CLOCKS), default="wall")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(prefix="encodec-cli-") as name:
        place = Path(name)
        theirs = save_model(place / "model")
        if arguments.folder is None:
            files = make_recordings(place / "audio", arguments.files)
        else:
            found = (path for path in arguments.folder.rglob("*") if path.is_file())
            files = sorted(found)[: arguments.files]
        seconds = sum(soundfile.info(path).duration for path in files)
        print(f"{len(files)} recordings, {seconds:.0f} s, {arguments.clock} time, fp32", flush=True)
        speeds: list[float] = []
        for threads in arguments.threads:
            torch.set_num_threads(threads)
            choice = ModelChoice(name=str(place / "model"), device="cpu", threads=threads)
            models = LoadedModels(choice)
            both = {
                "ours": partial(ours, models, files, threads),
                "transformers": partial(loop, theirs, files),
            }
            speeds.append(compare(both, seconds, arguments.runs, CLOCKS[arguments.clock], threads))
        for threads, speed in zip(arguments.threads[1:], speeds[1:], strict=True):
            print(f"{threads} threads: {speed / speeds[0]:.2f} times {arguments.threads[0]}")


def save_model(folder: Path) -> Any:
    """transformers' model of EnCodec 24 kHz with random weights, saved in `folder` as well."""
    from transformers import EncodecConfig, EncodecModel

    torch.manual_seed(0)
    model = EncodecModel(EncodecConfig()).eval()
    for layer in model.quantizer.layers:
        layer.codebook.embed.normal_()
    model.save_pretrained(folder)
    return model


def make_recordings(folder: Path, count: int) -> list[Path]:
    """Noise of 5 to 20 s."""
    folder.mkdir()
    random = np.random.default_rng(0)
    paths = []
    for number in range(count):
        samples = int(random.uniform(5, 20) * RATE)
        paths.append(folder / f"{number:03d}.flac")
        soundfile.write(paths[-1], 0.1 * random.standard_normal(samples).clip(-9, 9), RATE)
    return paths


def ours(models: LoadedModels, files: Sequence[Path], threads: int) -> None:
    """What `tokens --to webdataset` does once the model is loaded."""
    with tempfile.TemporaryDirectory(prefix="encodec-cli-") as folder:
        plan = Plan(
            corpus=Corpus(inputs=tuple(map(str, files))),
            target=ShardTarget(Path(folder), "webdataset"),
            options=CodesOptions(bandwidth=BANDWIDTH),
            code_rate=1200.0,
            most_bytes=1e8,
        )
        jobs = (job for job in plan.jobs() if isinstance(job, ShardJob))
        for report in run_shards(models, jobs, threads=threads):
            assert not report.failures, report.failures


def loop(model: Any, files: Sequence[Path]) -> None:
    """One file after the other, as examples of transformers do."""
    import soxr

    with tempfile.TemporaryDirectory(prefix="encodec-cli-") as folder, torch.inference_mode():
        for number, path in enumerate(files):
            audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
            mono = audio.mean(1)
            if rate != RATE:
                mono = soxr.resample(mono, rate, RATE)
            coded = model.encode(torch.from_numpy(mono)[None, None], bandwidth=BANDWIDTH)
            codes = coded.audio_codes[0, 0].numpy().astype(np.uint16)
            np.save(Path(folder) / f"{number}.npy", codes)


def compare(
    both: dict[str, Callable[[], None]],
    seconds: float,
    runs: int,
    clock: Callable[[], float],
    threads: int,
) -> float:
    """Print a line; our speed. The first run of each does not count."""
    times: dict[str, list[float]] = {who: [] for who in both}
    for _ in range(runs + 1):
        for who, run in both.items():
            started = clock()
            run()
            times[who].append(clock() - started)
    medians = {who: statistics.median(values[1:]) for who, values in times.items()}
    words = ", ".join(f"{who} {seconds / each:.1f} x real time" for who, each in medians.items())
    ratio = medians["transformers"] / medians["ours"]
    print(f"  {threads} thread(s): {words}, ratio {ratio:.2f}", flush=True)
    return seconds / medians["ours"]


if __name__ == "__main__":
    main()
