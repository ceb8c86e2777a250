"""What a code model saves, and how fast it codes.

    python benchmarks/code_model.py MANIFEST [--code-model FILE] [--model M] [--runs 5]

For each number of codebooks and each kind: bits that a code takes in runs of a chunk each, beside
those of a raw code; every run is decoded and compared. Then seconds of audio per second of CPU time
for 1, 16 and 60 chunks side by side, the best of the runs. Prints Markdown.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from encodec_cli.checkpoints.load import load_model
from encodec_cli.config.bundled import DEFAULT_MODEL, checkpoints_folder
from encodec_cli.entropy.integer.model import CodeModel
from encodec_cli.io.manifest import read_manifest_rows
from encodec_cli.model.codec import Codec
from encodec_cli.train.entropy.codes import CodedRecording, Source, make_codes

Chunks = list[NDArray[np.uint16]]


def coded(codec: Codec, manifest: Path) -> list[CodedRecording]:
    rows = read_manifest_rows(manifest, ("file", "kind"))
    sources = [Source(manifest.parent / row["file"], row["kind"]) for row in rows]
    with TemporaryDirectory() as folder:
        return list(make_codes(codec, sources, Path(folder)))


def chunks_of(recording: CodedRecording, codebooks: int) -> Chunks:
    return np.split(recording.codes[codebooks], np.cumsum(recording.chunks)[:-1], axis=1)


def print_sizes(model: CodeModel, recordings: list[CodedRecording]) -> None:
    raw = (model.bins - 1).bit_length()
    kinds = ["all", *sorted({r.kind for r in recordings})]
    print(f"| codebooks | {' | '.join(f'{k}, bits a code (saved)' for k in kinds)} |")
    print("|---" * (1 + len(kinds)) + "|")
    for k in model.sizes.trained:
        bits: dict[str, list[float]] = {}
        for recording in recordings:
            chunks = chunks_of(recording, k)
            runs = model.encode_chunks(chunks)
            asked = [(run, *chunk.shape) for run, chunk in zip(runs, chunks, strict=True)]
            for found, chunk in zip(model.decode_chunks(asked), chunks, strict=True):
                if not np.array_equal(found, chunk):
                    raise SystemExit(f"{recording.name}: other codes came back")
            mean = 8 * sum(map(len, runs)) / recording.codes[k].size
            for kind in ("all", recording.kind):
                bits.setdefault(kind, []).append(mean)
        means = [fmean(bits[kind]) for kind in kinds]
        print(f"| {k} | {' | '.join(f'{m:.3f} ({100 - 100 * m / raw:.1f} %)' for m in means)} |")


def fastest(run: Callable[[], object], times: int) -> float:
    """Seconds of CPU time."""
    best = float("inf")
    for _ in range(times):
        before = time.process_time()
        run()
        best = min(best, time.process_time() - before)
    return best


def print_speeds(model: CodeModel, codec: Codec, codes: dict[int, Chunks], runs: int) -> None:
    print("\n| codebooks | chunks together | encoding | decoding |\n|---|---|---|---|")
    for k, chunks in codes.items():
        for lanes in (1, 16, 60):
            some = (chunks * lanes)[:lanes]
            data = model.encode_chunks(some)
            asked = [(run, *chunk.shape) for run, chunk in zip(data, some, strict=True)]
            seconds = sum(chunk.shape[1] for chunk in some) / float(codec.frame_rate)
            encoding = fastest(lambda some=some: model.encode_chunks(some), runs)  # type: ignore[misc]
            decoding = fastest(lambda asked=asked: model.decode_chunks(asked), runs)  # type: ignore[misc]
            print(f"| {k} | {lanes} | {seconds / encoding:.0f} | {seconds / decoding:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--code-model", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    codec = load_model(arguments.model)
    path = arguments.code_model or checkpoints_folder() / f"{arguments.model}.codes"
    model = CodeModel.load(path)
    print(f"{path.name}: {path.stat().st_size:,} bytes, {model.sha256}\n")
    recordings = coded(codec, arguments.manifest)
    print_sizes(model, recordings)
    full = codec.config.chunk_frames
    codes = {
        k: [c for r in recordings for c in chunks_of(r, k) if c.shape[1] == full]
        for k in model.sizes.trained
    }
    print_speeds(model, codec, codes, arguments.runs)


if __name__ == "__main__":
    main()
