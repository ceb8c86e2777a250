"""Make a training corpus of free recordings in Debian packages.

    python scripts/make_corpus.py OUT [--packages NAME...] [--work FOLDER] [--flac]

scripts/corpus_packages.yaml lists the packages, their licences and what was left out. Each is
downloaded and unpacked into the work folder, its copyright file is compared with the list, and its
recordings are cut into pieces of at most 30 s. Left out: below 1 s, silence, clipping, duplicates.

    OUT/KIND/PACKAGE/NNNNN.opus    pieces to train with
    OUT/manifest.csv               one a line, for the recipe of a training
    OUT/dev/PACKAGE_NN.flac        clips of packages that are held out, to measure with
    OUT/dev/manifest.csv           one a line, for encodec-cli evaluate
    OUT/packages/PACKAGE.json      what was made of a package; written last, so that a run which
                                   was stopped goes on, and a second one does only what is missing
    OUT/portions/portion-NN.tar    all pieces in portions, if --portion-mb says how large

Exit code 1 if a package failed; the others are complete.
"""

import argparse
import hashlib
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

from corpus_lists import COLUMNS, Made, Row, Settings, summary, write_manifests, write_portions
from corpus_packages import Package, check_licence, fetch, read_table, recordings, unpack
from corpus_pieces import Heard, Piece, pieces, write_flac, write_opus

from encodec_cli.errors import AudioError, EncodecCliError
from encodec_cli.io.files import atomic_output

__all__ = ["Known", "main", "make_package"]

TABLE = Path(__file__).resolve().parent / "corpus_packages.yaml"


@dataclass
class Known:
    """Recordings and pieces of all packages so far."""

    hashes: set[str] = field(default_factory=set)
    heard: Heard = field(default_factory=Heard)


def main(arguments: list[str] | None = None) -> int:
    """Run; the exit code."""
    options = _parser().parse_args(arguments)
    settings = Settings(
        None if options.flac else options.opus_kbps,
        options.clips,
        options.clip_seconds,
        options.seed,
    )
    table = read_table(options.table)
    names = options.packages or [package.name for package in table]
    if unknown := sorted(set(names) - {package.name for package in table}):
        print(f"{', '.join(unknown)}: not in {options.table}", file=sys.stderr)
        return 2
    known, failed = Known(), False
    done: dict[str, Made] = {}
    for package in table:
        try:
            made = _read_made(package, options.out, settings)
            if made is None and package.name in names:
                print(f"{package.name} ...", file=sys.stderr)
                made = _make(package, options.out, options.work or options.out, settings, known)
            elif made is not None:
                known.hashes.update(made.hashes)
                known.heard.load(made.prints)
        except EncodecCliError as error:
            print(f"error: {error}", file=sys.stderr)
            failed = True
            continue
        if made is not None:
            done[package.name] = made
        elif _record(package, options.out).exists():
            print(f"{package.name}: made with other settings, not listed now", file=sys.stderr)
    write_manifests(options.out, list(done.values()))
    if options.portion_mb:
        write_portions(options.out, options.portion_mb * (1 << 20))
    print(summary(done))
    return int(failed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path, help="folder of the corpus")
    parser.add_argument("--packages", nargs="+", metavar="NAME", help="of the list; default all")
    parser.add_argument("--work", type=Path, help="where packages are kept; default: OUT")
    parser.add_argument("--table", type=Path, default=TABLE, help="another list of packages")
    parser.add_argument("--flac", action="store_true", help="pieces as FLAC instead of Opus")
    parser.add_argument("--opus-kbps", type=float, default=64.0)
    parser.add_argument("--clips", type=int, default=20, help="most of a package held out")
    parser.add_argument("--clip-seconds", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--portion-mb", type=int, help="pack tar files of at most so many MiB")
    return parser


def _make(package: Package, out: Path, work: Path, settings: Settings, known: Known) -> Made:
    """Fetch, unpack and check `package`, and make its files."""
    deb = fetch(package.name, work / "debs")
    with tempfile.TemporaryDirectory(dir=work) as place:
        tree = Path(place) / "tree"
        version = unpack(deb, tree)
        check_licence(package, tree)
        return make_package(package, tree, version, out, settings, known)


def make_package(
    package: Package, tree: Path, version: str, out: Path, settings: Settings, known: Known
) -> Made:
    """Make the files of `package`, unpacked at `tree`, and its record.

    Raises:
        OutputError: a file cannot be written.
    """
    _remove(package, out)
    began, count = time.process_time(), len(known.heard)
    made = Made(version, package.licence, settings, package.held_out)
    dropped: Counter[str] = Counter()
    by_recording: dict[Path, list[tuple[str, Piece]]] = {}
    for kind, path in recordings(package, tree):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest in known.hashes:
            dropped["same file"] += 1
            continue
        known.hashes.add(digest)
        made.hashes.append(digest)
        for piece in _good_pieces(path, known.heard, dropped):
            if package.held_out:
                # Of a recording held out only the part that a clip may take is kept in memory.
                by_recording.setdefault(path, []).append((kind, _head(piece, settings)))
            else:
                stem = f"{kind}/{package.name}/{len(made.rows):05}"
                name = _write(piece, out, stem, settings.opus_kbps)
                made.rows.append(_row(package, version, piece, kind, name, path.relative_to(tree)))
    rng = random.Random(f"{settings.seed} {package.name}")
    chosen = rng.sample(sorted(by_recording), min(settings.clips, len(by_recording)))
    for number, path in enumerate(sorted(chosen)):
        kind, piece = rng.choice(by_recording[path])
        name = _write(piece, out / "dev", f"{package.name}_{number:02}", None)
        made.rows.append(_row(package, version, piece, kind, name, path.relative_to(tree)))
    made.dropped, made.prints = dict(dropped), known.heard.since(count)
    made.cpu_seconds = round(time.process_time() - began, 1)
    _record(package, out).parent.mkdir(parents=True, exist_ok=True)
    with atomic_output(_record(package, out)) as file:
        file.write(json.dumps(asdict(made), indent=1).encode())
    return made


def _remove(package: Package, out: Path) -> None:
    """Remove what a run with other settings, or one that was stopped, left of `package`."""
    _record(package, out).unlink(missing_ok=True)
    for kind in package.kinds:
        shutil.rmtree(out / kind / package.name, ignore_errors=True)
    for clip in (out / "dev").glob(f"{package.name}_*.flac"):
        clip.unlink()


def _record(package: Package, out: Path) -> Path:
    return out / "packages" / f"{package.name}.json"


def _good_pieces(path: Path, heard: Heard, dropped: Counter[str]) -> list[Piece]:
    """Pieces of `path` that are worth having; counts the others."""
    good = []
    try:
        for piece in pieces(path):
            fault = piece.fault() or (None if heard.add(piece) else "same sound")
            if fault is None:
                good.append(piece)
            else:
                dropped[fault] += 1
    except AudioError as error:
        dropped["unreadable"] += 1
        print(f"left out from there on: {error}", file=sys.stderr)
    return good


def _head(piece: Piece, settings: Settings) -> Piece:
    samples = round(settings.clip_seconds * piece.sample_rate)
    return Piece(piece.audio[:, :samples].copy(), piece.sample_rate, piece.start)


def _write(piece: Piece, folder: Path, name: str, opus_kbps: float | None) -> str:
    """Write `piece`; its name with the suffix, relative to `folder`."""
    file = f"{name}.{'flac' if opus_kbps is None else 'opus'}"
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    if opus_kbps is None:
        write_flac(piece, folder / file)
    else:
        write_opus(piece, folder / file, opus_kbps)
    return file


def _row(package: Package, version: str, piece: Piece, kind: str, file: str, inside: Path) -> Row:
    values = (
        *(file, kind, f"{piece.seconds:.2f}", str(piece.sample_rate), str(piece.audio.shape[0])),
        *(inside.parent.name, package.licence, package.name, version),
        f"{inside}#{piece.start:g}+{piece.seconds:.2f}s",
    )
    return dict(zip(COLUMNS, values, strict=True))


def _read_made(package: Package, out: Path, settings: Settings) -> Made | None:
    """What an earlier run made of `package` with the same settings."""
    path = _record(package, out)
    if not path.exists():
        return None
    record = json.loads(path.read_text(encoding="utf-8"))
    record["settings"] = Settings(**record["settings"])
    made = Made(**record)
    same = (settings, package.licence, package.held_out)
    return made if (made.settings, made.licence, made.held_out) == same else None


if __name__ == "__main__":
    sys.exit(main())
