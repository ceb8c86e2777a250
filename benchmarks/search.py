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
from numpy.typing import NDArray

from encodec_cli import Codec, decode, encode, load_model, stream_encoder
from encodec_cli.config.bundled import DEFAULT_MODEL
from encodec_cli.evaluation.evaluate import is_speech, read_reference
from encodec_cli.evaluation.metric_names import METRICS
from encodec_cli.evaluation.metrics import measure
from encodec_cli.io.manifest import read_manifest_rows
from encodec_cli.runtime.protocol import Rows
from encodec_cli.stream.protocols import Samples


def latents_of(codec: Codec, wav: Samples) -> Rows:
    """What is searched codes for, of `wav` `[C, N]` at the level that it is coded at, `[T, D]`."""
    encoder = stream_encoder(codec, 1)
    return np.concatenate([chunk.latents for chunk in encoder.latents([wav])])


def latent_snr(codec: Codec, latents: Rows, codes: NDArray[np.uint16]) -> float:
    """dB, of latents `[T, D]` and codes `[K, T]`."""
    error = codec.engine.quantizer().decode(codes) - latents
    return float(10 * np.log10(np.square(latents).sum() / np.square(error).sum()))


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
        wav = reference.audio
        latents = latents_of(model, wav)
        for bandwidth in arguments.bandwidths:
            for beams in arguments.beams:
                started = time.process_time()
                ecdc = encode(model, wav, bandwidth=bandwidth, search=beams)
                speed = reference.seconds / (time.process_time() - started)
                pair = (torch.from_numpy(x[0]) for x in (wav, decode(model, ecdc)))
                scores = measure(*pair, model.sample_rate, speech=is_speech(line["kind"]))
                scores |= {"latent_snr": latent_snr(model, latents, ecdc.codes), "speed": speed}
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
