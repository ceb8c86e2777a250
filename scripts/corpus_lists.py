"""What a corpus of packages consists of, and its lists: manifests, portions, a summary."""

import csv
import io
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

from encodec_cli.io.files import atomic_output

__all__ = ["COLUMNS", "Made", "Row", "Settings", "summary", "write_manifests", "write_portions"]

COLUMNS = [
    *("file", "kind", "seconds", "source_rate", "channels", "speaker_or_language", "licence"),
    *("source_repository", "commit", "path"),
]
Row = dict[str, str]


@dataclass(frozen=True)
class Settings:
    """What changes the files that are made.

    Attributes:
        opus_kbps: of the pieces; None for FLAC.
        clips: most clips of a package that is held out, each of another recording.
        clip_seconds: their length.
        seed: draws them.
    """

    opus_kbps: float | None = 64.0
    clips: int = 20
    clip_seconds: float = 30.0
    seed: int = 0


@dataclass
class Made:
    """What was made of a package; `dropped` counts pieces by reason, `seconds` is CPU time."""

    version: str
    licence: str
    settings: Settings
    held_out: bool
    rows: list[Row] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)
    hashes: list[str] = field(default_factory=list)
    prints: list[tuple[float, str]] = field(default_factory=list)
    cpu_seconds: float = 0.0


def write_manifests(out: Path, done: list[Made]) -> None:
    """The manifests of what is trained with and of what is held out."""
    for folder, held_out in ((out, False), (out / "dev", True)):
        folder.mkdir(parents=True, exist_ok=True)
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS)
        writer.writeheader()
        writer.writerows(row for made in done if made.held_out == held_out for row in made.rows)
        with atomic_output(folder / "manifest.csv", force=True) as file:
            file.write(text.getvalue().encode())


def write_portions(out: Path, most_bytes: int) -> None:
    """All pieces and the manifest in tar files of at most `most_bytes`."""
    files = [out / "manifest.csv"]
    with (out / "manifest.csv").open(encoding="utf-8", newline="") as manifest:
        files += [out / row["file"] for row in csv.DictReader(manifest)]
    portions: list[list[Path]] = [[]]
    size = 0
    for path in files:
        # A header of 512 bytes, the file in whole blocks, and room for the end of the archive.
        takes = 512 + -(-path.stat().st_size // 512) * 512
        if size + takes > most_bytes - 10_240 and portions[-1]:
            portions.append([])
            size = 0
        portions[-1].append(path)
        size += takes
    folder = out / "portions"
    folder.mkdir(exist_ok=True)
    for old in folder.glob("portion-*.tar"):
        old.unlink()
    for number, paths in enumerate(portions):
        with (
            atomic_output(folder / f"portion-{number:02}.tar", force=True) as file,
            tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar,
        ):
            for path in paths:
                tar.add(path, path.relative_to(out).as_posix())


def summary(done: dict[str, Made]) -> str:
    """A table of packages in Markdown."""
    lines = ["| package | kind | files | minutes | dropped | CPU s | licence |"]
    lines.append("|---|---|---|---|---|---|---|")
    for name, made in done.items():
        for kind in sorted({row["kind"] for row in made.rows}):
            seconds = [float(row["seconds"]) for row in made.rows if row["kind"] == kind]
            dropped = ", ".join(f"{n} {why}" for why, n in sorted(made.dropped.items())) or "none"
            label = f"{kind}, held out" if made.held_out else kind
            lines.append(
                f"| {name} | {label} | {len(seconds)} | {sum(seconds) / 60:.1f} | {dropped} | "
                f"{made.cpu_seconds:g} | {made.licence} |"
            )
    return "\n".join(lines)
