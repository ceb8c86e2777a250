"""Whether files have the rate that they were to have, and what that costs.

    python benchmarks/target_rate.py MANIFEST [--targets 1.2,1.5,2.5] [--model M]

Codes each recording at each target, and without one with that many codebooks and one less. Prints
how far off the rates are. Then, by where the target lies from the rate of K - 1 codebooks (0) to
that of K (1): PESQ-WB and mel distance minus those on a straight line between the two, and minus
those of K - 1, with standard errors. Tags of recordings are left out. Prints Markdown.
"""

import argparse
from collections import defaultdict
from pathlib import Path
from statistics import fmean, stdev
from tempfile import TemporaryDirectory

import numpy as np
import torch

from encodec_cli.checkpoints.load import load_model
from encodec_cli.config.bundled import DEFAULT_MODEL
from encodec_cli.evaluation.evaluate import read_reference
from encodec_cli.evaluation.metrics import measure
from encodec_cli.io.manifest import read_manifest_rows
from encodec_cli.model.codec import Codec
from encodec_cli.pipeline.decode import DecodeOptions, decode_file
from encodec_cli.pipeline.encode import EncodeOptions, encode_file
from encodec_cli.pipeline.reports import EncodeReport

PLACES = (0.0, 0.2, 0.4, 0.6, 1.01)
Measured = tuple[EncodeReport, dict[str, float]]


def coded(
    codec: Codec, source: Path, folder: Path, speech: bool, options: EncodeOptions
) -> Measured:
    """What became of a recording, and how near it is."""
    report = encode_file(codec, source, folder / "a.ecdc", options)
    decode_file(
        codec, folder / "a.ecdc", folder / "a.wav", DecodeOptions(force=True, encoding="float")
    )
    original, decoded = (
        read_reference(path, codec.sample_rate, codec.channels).audio.mean(0)
        for path in (source, folder / "a.wav")
    )
    signals = [torch.from_numpy(np.ascontiguousarray(x)) for x in (original, decoded)]
    return report, measure(signals[0], signals[1], codec.sample_rate, speech=speech)


def three_ways(
    codec: Codec, source: Path, target_kbps: float, speech: bool
) -> tuple[Measured, Measured | None, Measured]:
    """A recording at a rate, and with one codebook less and as many, but without a target."""

    def made(n_q: int, target: float | None = None) -> Measured:
        options = EncodeOptions(n_q=n_q, target_kbps=target, force=True, tags=None)
        with TemporaryDirectory() as folder:
            return coded(codec, source, Path(folder), speech, options)

    found = made(codec.config.quantizer.n_q, target_kbps)
    books = found[0].codebooks
    return found, made(books - 1) if books > 1 else None, made(books)


def compared(found: Measured, fewer: Measured, more: Measured, name: str) -> tuple[float, ...]:
    """Place between the two, and the metric minus that on the line, and minus that of `fewer`."""
    place = (found[0].kbps - fewer[0].kbps) / (more[0].kbps - fewer[0].kbps)
    gain = found[1][name] - fewer[1][name]
    return place, gain - place * (more[1][name] - fewer[1][name]), gain


def shown(values: list[float]) -> str:
    error = stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return f"{fmean(values):+.3f} ± {error:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--targets", default="1.2,1.5,2.5")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    given = parser.parse_args()
    codec = load_model(given.model).codec()
    rows = read_manifest_rows(given.manifest, ("file", "kind"))
    by_place: dict[tuple[int, str], list[tuple[float, ...]]] = defaultdict(list)
    print("| target, kb/s | worst, from 5 s on | of all |\n|---|---|---|")
    for target in map(float, given.targets.split(",")):
        misses = []
        for row in rows:
            source, speech = given.manifest.parent / row["file"], row["kind"] == "speech"
            found, fewer, more = three_ways(codec, source, target, speech)
            misses.append((found[0].seconds, abs(found[0].kbps / target - 1)))
            if fewer is None or misses[-1][1] > 0.02:
                continue
            for metric in ("pesq", "mel") if speech else ("mel",):
                values = compared(found, fewer, more, metric)
                part = sum(values[0] >= start for start in PLACES[1:-1])
                kind = "speech" if speech else "others"
                by_place[part, f"{kind}, {metric}"].append(values[1:])
        worst = max(miss for seconds, miss in misses if seconds >= 5)
        print(f"| {target:g} | {worst:.2%} | {max(m for _, m in misses):.2%} |", flush=True)
    print("\n| place | metric | files | to the line | to K - 1 |\n|---|---|---|---|---|")
    for (part, metric), lines in sorted(by_place.items()):
        line, fewer_codebooks = (shown(list(values)) for values in zip(*lines, strict=True))
        bounds = f"{PLACES[part]:g} to {PLACES[part + 1]:.1g}"
        print(f"| {bounds} | {metric} | {len(lines)} | {line} | {fewer_codebooks} |")


if __name__ == "__main__":
    main()
