"""Make the pictures of the README: docs/images/quality.png and docs/images/report.png.

    python scripts/make_pictures.py quality    # curves, from the figures in benchmarks/quality.csv
    python scripts/make_pictures.py report     # a report on samples/, as Chromium shows it

The second needs Chromium and ffmpeg. Both need the `eval` extra.
"""

import argparse
import csv
import io
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
from PIL import Image

__all__ = ["main"]

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
PANELS = (
    ("speech", "pesq", "speech: PESQ-WB, higher is better"),
    ("speech", "estoi", "speech: ESTOI, higher is better"),
    ("music", "mel", "music: mel distance, lower is better"),
)
STYLES = {
    "ecli_24khz": ("#0b5bc4", "o"),
    "ecli_24khz --fit 4": ("#5aa2f0", "v"),
    "Opus": ("#c0410f", "s"),
    "Opus with LACE": ("#8a3fae", "D"),
    "Lyra v2": ("#14803c", "^"),
}
MOST_KBPS = 19
_WINDOW = (1120, 812)
_COLOURS = 200


def main() -> None:
    """Make one picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", choices=["quality", "report"])
    if parser.parse_args().picture == "quality":
        draw_curves(ROOT / "benchmarks" / "quality.csv", IMAGES / "quality.png")
    else:
        take_picture(IMAGES / "report.png")


def draw_curves(figures: Path, target: Path) -> None:
    """Quality against rate, one panel a metric, one line a codec."""
    with figures.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    mpl.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure, axes = plt.subplots(1, len(PANELS), figsize=(10, 3.2), layout="constrained")
    for axis, (kind, metric, title) in zip(axes, PANELS, strict=True):
        for codec, (colour, marker) in STYLES.items():
            points = [
                (float(row["kbps"]), float(row[metric]))
                for row in rows
                if row["kind"] == kind and row["codec"] == codec and row[metric]
            ]
            if not points:  # LACE is for speech
                continue
            axis.plot(*zip(*points, strict=True), color=colour, marker=marker, label=codec)
        axis.set(title=title, xlabel="kb/s on disk", xlim=(0, MOST_KBPS))
        axis.grid(alpha=0.25)
    axes[0].legend(frameon=False)
    figure.savefig(target, dpi=110)


def take_picture(target: Path) -> None:
    """The first recording of a report, cut out of the page."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind in ("music", "speech"):
            (folder / kind).mkdir()
            shutil.copy(ROOT / "samples" / f"{kind}.wav", folder / kind)
        page, picture = folder / "report.html", folder / "page.png"
        options = ["--against", "opus:6", "--bandwidths", "1.5,6", "-o", str(page)]
        command = [sys.executable, "-m", "encodec_cli", "report", "-r", str(folder), *options]
        subprocess.run(command, check=True, cwd=ROOT)
        page.write_text(only_first_recording(page.read_text("utf-8")), encoding="utf-8")
        subprocess.run(
            [
                *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
                *("--virtual-time-budget=5000", f"--window-size={_WINDOW[0]},{_WINDOW[1]}"),
                *(f"--screenshot={picture}", page.as_uri()),
            ],
            check=True,
            capture_output=True,
        )
        with Image.open(io.BytesIO(picture.read_bytes())) as image:
            few = image.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
            few.save(target, optimize=True)


def only_first_recording(page: str) -> str:
    """The page without what is around its first recording, and without the policy against that."""
    hidden = ".top, .recordings-title, main > section, article ~ article, footer"
    page = re.sub(r"<meta http-equiv=[^>]*>", "", page, count=1)
    return page.replace("</head>", f"<style>{hidden} {{ display: none }}</style></head>", 1)


if __name__ == "__main__":
    main()
