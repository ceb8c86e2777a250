"""Quality of a model per bandwidth on held-out recordings, as the table of its card.

    python benchmarks/quality.py ../shared/audio/dev/manifest.csv [--model M]

Every recording goes through an `.ecdc` file in memory, the kb/s are its bytes; speech also gets
ESTOI and PESQ-WB (the `eval` extra). Prints Markdown.
"""

import argparse
import io
from pathlib import Path
from statistics import fmean

import torch

from encodec_cli import decode, encode, load_model, write_ecdc
from encodec_cli.audio import read_mono
from encodec_cli.metrics import measure
from encodec_cli.resources import DEFAULT_MODEL
from encodec_cli.train.data import read_manifest


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    rows: dict[tuple[str, float], list[dict[str, float]]] = {}
    for recording in read_manifest(arguments.manifest):
        path = arguments.manifest.parent / recording.file
        x = torch.from_numpy(read_mono(path, model.sample_rate))
        for bandwidth in model.target_bandwidths:
            ecdc = encode(model, x[None].expand(model.channels, -1), bandwidth=bandwidth)
            file = io.BytesIO()
            write_ecdc(file, ecdc)
            y = decode(model, ecdc).mean(0)
            scores = measure(x, y, model.sample_rate, speech=recording.kind == "speech")
            scores["kbps"] = len(file.getvalue()) * 8 / (len(x) / model.sample_rate) / 1000
            rows.setdefault((recording.kind, bandwidth), []).append(scores)
    names = ["kbps", "pesq", "estoi", "si_sdr", "mel", "level_db"]
    print(f"| kind | kb/s | {' | '.join(names)} |")
    print("|---" * (len(names) + 2) + "|")
    for (kind, bandwidth), measured in sorted(rows.items()):
        cells = [f"{fmean(m[n] for m in measured):.3f}" if n in measured[0] else "" for n in names]
        print(f"| {kind} | {bandwidth:g} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
