"""Speed against Meta's `encodec` package: same architecture, same weights, same thread count.

    python benchmarks/speed.py [--seconds 10] [--runs 5] [--threads 1 2] [--files 64] [--clock wall]

Builds EnCodec 24 kHz with random weights (speed does not depend on them) and runs ours and Meta's
in turn on the same noise: one signal; one signal with the bundled model, against Meta's; and many
signals of 5 to 20 s, which Meta's codes one after the other. Prints medians and ratios. Needs the
`test` extra. `--clock cpu` counts processor time, which tells more on a machine that others use.
"""

import argparse
import random
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from encodec_cli import Codec, decode, encode, load_model
from encodec_cli.container import Ecdc
from encodec_cli.dsp.torchaudio_import import import_torchaudio
from encodec_cli.stream.batching import run_together
from encodec_cli.stream.protocols import Samples

RATE = 24000
BANDWIDTH = 6.0
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the one signal")
    parser.add_argument("--files", type=int, default=64, help="how many signals; 0: leave out")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--clock", choices=sorted(CLOCKS), default="wall")
    arguments = parser.parse_args()
    theirs, ours = pair()
    bench = Bench(arguments.runs, CLOCKS[arguments.clock])
    with torch.inference_mode():
        for threads in arguments.threads:
            torch.set_num_threads(threads)
            print(f"{threads} thread(s), {BANDWIDTH:g} kb/s, fp32, {arguments.clock} time")
            signal = torch.randn(1, int(arguments.seconds * RATE)) * 0.1
            one(bench, "one signal", ours, theirs, signal)
            one(bench, "one signal, bundled model", load_model(), theirs, signal)
            if arguments.files:
                many(bench, ours, theirs, arguments.files)


def pair() -> tuple[Any, Codec]:
    """Meta's EnCodec 24 kHz with random weights, and ours with the same."""
    import_torchaudio()
    warnings.simplefilter("ignore")
    from encodec import EncodecModel

    theirs = EncodecModel.encodec_model_24khz(pretrained=False).eval()
    theirs.set_target_bandwidth(BANDWIDTH)
    for layer in theirs.quantizer.vq.layers:
        layer._codebook.embed.normal_()
        layer._codebook.inited.fill_(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.th"
        torch.save(theirs.state_dict(), path)
        return theirs, load_model(path)


class Bench:
    """Runs ours and theirs in turn and compares the medians."""

    def __init__(self, runs: int, clock: Callable[[], float]) -> None:
        self._runs = runs
        self._clock = clock

    def compare(
        self, name: str, seconds: float, ours: Callable[[], object], theirs: Callable[[], object]
    ) -> None:
        """Print one line for `seconds` of audio; the first run of each does not count."""
        times: dict[str, list[float]] = {"ours": [], "Meta's": []}
        for _ in range(self._runs + 1):
            for who, run in (("ours", ours), ("Meta's", theirs)):
                started = self._clock()
                run()
                times[who].append(self._clock() - started)
        medians = {who: statistics.median(values[1:]) for who, values in times.items()}
        words = ", ".join(
            f"{who} {seconds / median:.1f} x real time" for who, median in medians.items()
        )
        ratio = medians["Meta's"] / medians["ours"]
        print(f"  {name}: {words}, ratio {ratio:.2f}", flush=True)


def one(bench: Bench, name: str, ours: Codec, theirs: Any, signal: Tensor) -> None:
    """Encode and decode one signal `[1, N]`."""
    seconds = signal.shape[1] / RATE
    frames = theirs.encode(signal[None])
    coded = encode(ours, signal, bandwidth=BANDWIDTH)
    bench.compare(
        f"{name}, encode",
        seconds,
        lambda: encode(ours, signal, bandwidth=BANDWIDTH),
        lambda: theirs.encode(signal[None]),
    )
    bench.compare(
        f"{name}, decode", seconds, lambda: decode(ours, coded), lambda: theirs.decode(frames)
    )


def many(bench: Bench, ours: Codec, theirs: Any, files: int) -> None:
    """Encode and decode signals of 5 to 20 s, ours together, Meta's one after the other."""
    rng = random.Random(0)
    signals = [torch.randn(1, int(rng.uniform(5, 20) * RATE)) * 0.1 for _ in range(files)]
    seconds = sum(signal.shape[1] for signal in signals) / RATE
    frames = [theirs.encode(signal[None]) for signal in signals]
    coded = together(ours, [partial(encode_one, signal) for signal in signals])
    bench.compare(
        f"{files} signals, encode",
        seconds,
        lambda: together(ours, [partial(encode_one, signal) for signal in signals]),
        lambda: [theirs.encode(signal[None]) for signal in signals],
    )
    bench.compare(
        f"{files} signals, decode",
        seconds,
        lambda: together(ours, [partial(decode_one, each) for each in coded]),
        lambda: [theirs.decode(each) for each in frames],
    )


def encode_one(signal: Tensor, model: Codec) -> Ecdc:
    return encode(model, signal, bandwidth=BANDWIDTH)


def decode_one(coded: Ecdc, model: Codec) -> Samples:
    return decode(model, coded)


def together(codec: Codec, jobs: Sequence[Callable[[Codec], Any]]) -> Any:
    """The jobs' results, in their order."""
    running = run_together(codec, jobs, streams=codec.engine.streams)
    outcomes = sorted(running, key=lambda outcome: outcome.job)
    return [outcome.result() for outcome in outcomes]


if __name__ == "__main__":
    main()
