"""Opus with the neural post-filters of Opus 1.5, LACE and NoLACE, on the speech of a manifest.

    npm install ogg-opus-decoder        # in a folder where this is then run
    python benchmarks/opus_enhanced.py MANIFEST [--kbps 8 9 12]

The filters are part of the decoder: ffmpeg's libopus encodes (VBR, packets of 20 ms, for speech),
the npm package decodes with libopus 1.5's weights. Bytes are those of packets. Prints a table of
means in Markdown.
"""

import argparse
from pathlib import Path

from encodec_cli.evaluation.evaluate import is_speech, judge, read_reference
from encodec_cli.evaluation.metric_names import METRICS
from encodec_cli.evaluation.other_codecs import OtherCodec, through_codec
from encodec_cli.evaluation.summary import summarize
from encodec_cli.io.manifest import read_manifest_rows

SAMPLE_RATE = 24000
ENHANCEMENTS = {"none": "Opus", "lace": "Opus with LACE", "nolace": "Opus with NoLACE"}
FFMPEG = ("ffmpeg", "-nostdin", "-loglevel", "error", "-y", "-i", "{source}")
DECODER = Path(__file__).with_suffix(".mjs")


def codec(enhancement: str) -> OtherCodec:
    """Opus, decoded with an enhancement."""
    return OtherCodec(
        name=ENHANCEMENTS[enhancement],
        suffix=".opus",
        encode=(*FFMPEG, "-c:a", "libopus", "-application", "voip", "-b:a", "{kbps}k", "{packed}"),
        decode=("node", str(DECODER), enhancement, "{packed}", "{decoded}"),
        counted="audio packets without Ogg pages",
        header_packets=2,
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--kbps", type=float, nargs="+", default=[6, 8, 9, 12])
    arguments = parser.parse_args()
    rows = []
    for line in read_manifest_rows(arguments.manifest, ("file", "kind")):
        if not is_speech(line["kind"]):
            continue
        path = arguments.manifest.parent / line["file"]
        reference = read_reference(path, SAMPLE_RATE, kind=line["kind"])
        for enhancement in ENHANCEMENTS:
            for kbps in arguments.kbps:
                coded = through_codec(codec(enhancement), reference, kbps)
                rows.append(judge(reference, coded))
    names = [name for name in METRICS if name in rows[0].metrics]
    print(f"| codec | kb/s | {' | '.join(METRICS[name].label for name in names)} |")
    print(f"|---|---{'|---' * len(names)}|")
    for summary in summarize(rows):
        cells = [summary.codec, f"{summary.means['kbps'].value:.2f}"]
        cells += [f"{summary.means[name].value:.{METRICS[name].digits}f}" for name in names]
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
