"""What encoder search buys and costs, per bandwidth and kind.

    python benchmarks/search.py MANIFEST [--model M] [--beams 1 4 16] [--bandwidths 3 6 12]

For each number of sequences kept (`encode --search`): SNR of the quantized latents, metrics of what
they decode to, and seconds of audio per second of CPU time in encoding. Prints Markdown.
"""

import argparse
import time
from pathlib import Path
from statistics import fmean, median

import numpy as np
import torch

from encodec_cli import encode, load_model
from encodec_cli.config.bundled import DEFAULT_MODEL
from encodec_cli.config.timing import end_padding
from encodec_cli.container.codes import CodeChunk
from encodec_cli.evaluation.evaluate import is_speech, read_reference
from encodec_cli.evaluation.metric_names import METRICS
from encodec_cli.evaluation.metrics import measure
from encodec_cli.io.manifest import read_manifest_rows
from encodec_cli.model.module import CompressionModel
from encodec_cli.stream.gain import LevellingEncoder
from encodec_cli.stream.protocols import Samples
from encodec_cli.stream.signals import decode


class Tap:
    """A `StreamEncoder` that codes nothing and keeps what it is given."""

    def __init__(self) -> None:
        self.heard: list[Samples] = []

    def push(self, samples: Samples) -> list[CodeChunk]:
        """Keep `[C, n]`."""
        self.heard.append(samples)
        return []

    def finish(self) -> list[CodeChunk]:
        """Nothing is left."""
        return []


@torch.inference_mode()
def latents_of(model: CompressionModel, wav: torch.Tensor) -> torch.Tensor:
    """Of `wav` `[C, N]` at the level that the model codes it at, `[1, D, T]`."""
    if model.config.level_db is not None:
        tap = Tap()
        encoder = LevellingEncoder(model.config, tap, model.config.chunk_frames)
        encoder.push(wav.numpy())
        encoder.finish()
        wav = torch.from_numpy(np.concatenate(tap.heard, axis=1))
    return model.encoder(torch.nn.functional.pad(wav[None], (0, end_padding(model.config))))


@torch.inference_mode()
def latent_snr(model: CompressionModel, latents: torch.Tensor, codes: torch.Tensor) -> float:
    """dB, of latents `[1, D, T]` and codes `[K, T]`."""
    error = model.quantizer.decode(codes[None]) - latents
    return float(10 * (latents.pow(2).sum() / error.pow(2).sum()).log10())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--beams", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--bandwidths", type=float, nargs="+", default=[3.0, 6.0, 12.0])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model(arguments.model)
    rows: dict[tuple[str, float, int], list[dict[str, float]]] = {}
    for line in read_manifest_rows(arguments.manifest, ("file", "kind")):
        reference = read_reference(arguments.manifest.parent / line["file"], model.sample_rate)
        wav = torch.from_numpy(reference.audio)
        latents = latents_of(model, wav)
        for bandwidth in arguments.bandwidths:
            for beams in arguments.beams:
                started = time.process_time()
                ecdc = encode(model, wav, bandwidth=bandwidth, search=beams)
                speed = reference.seconds / (time.process_time() - started)
                codes = torch.from_numpy(ecdc.codes.astype("int64"))
                decoded = decode(model, ecdc)[0]
                scores = measure(wav[0], decoded, model.sample_rate, speech=is_speech(line["kind"]))
                scores |= {"latent_snr": latent_snr(model, latents, codes), "speed": speed}
                rows.setdefault((line["kind"], bandwidth, beams), []).append(scores)
    names = [name for name in METRICS if name != "level_db"]
    titles = [METRICS[name].label for name in names]
    print(f"| kind | kb/s | search | latent SNR dB | {' | '.join(titles)} | x real time (CPU) |")
    print("|---" * (len(names) + 5) + "|")
    for (kind, bandwidth, beams), measured in sorted(rows.items()):
        cells = [
            f"{fmean(m[n] for m in measured):.{METRICS[n].digits}f}" if n in measured[0] else ""
            for n in names
        ]
        snr = fmean(m["latent_snr"] for m in measured)
        speed = median(m["speed"] for m in measured)
        print(
            f"| {kind} | {bandwidth:g} | {beams} | {snr:.1f} | {' | '.join(cells)} | {speed:.1f} |"
        )


if __name__ == "__main__":
    main()
