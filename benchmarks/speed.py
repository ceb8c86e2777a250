"""Speed against Meta's `encodec` package: same architecture, same weights, same thread count.

    python benchmarks/speed.py [--seconds 10] [--runs 5] [--threads 1]

Builds EnCodec 24 kHz with random weights (speed does not depend on them), runs both in turn on
the same noise and prints medians and ratios. Needs the `test` extra.
"""

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from encodec_cli import decode, encode, load_model
from encodec_cli.torchaudio_import import import_torchaudio


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    import_torchaudio()
    warnings.simplefilter("ignore")
    from encodec import EncodecModel

    theirs = EncodecModel.encodec_model_24khz(pretrained=False).eval()
    theirs.set_target_bandwidth(6.0)
    for layer in theirs.quantizer.vq.layers:
        layer._codebook.embed.normal_()
        layer._codebook.inited.fill_(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.th"
        torch.save(theirs.state_dict(), path)
        ours = load_model(path)
    x = torch.randn(1, int(arguments.seconds * 24000)) * 0.1
    with torch.inference_mode():
        frames = theirs.encode(x[None])
        coded = encode(ours, x, bandwidth=6)
        rows: list[tuple[str, Callable[[], object], Callable[[], object]]] = [
            ("encode", lambda: encode(ours, x, bandwidth=6), lambda: theirs.encode(x[None])),
            ("decode", lambda: decode(ours, coded), lambda: theirs.decode(frames)),
        ]
        print(f"{arguments.seconds:g} s of audio, {arguments.threads} thread(s), 6 kb/s, fp32")
        for name, our_run, their_run in rows:
            times: dict[str, list[float]] = {"ours": [], "Meta's": []}
            for _ in range(arguments.runs + 1):
                for who, run in (("ours", our_run), ("Meta's", their_run)):
                    started = time.perf_counter()
                    run()
                    times[who].append(time.perf_counter() - started)
            medians = {who: statistics.median(values[1:]) for who, values in times.items()}
            words = ", ".join(
                f"{who} {arguments.seconds / median:.1f} x real time"
                for who, median in medians.items()
            )
            ratio = medians["Meta's"] / medians["ours"]
            print(f"{name}: {words}, ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
