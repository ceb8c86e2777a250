"""scripts/make_corpus.py on packages made up here."""

import csv
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
RATE = 8_000
LICENCE = "Files: *\nCopyright: 2026 Somebody\nLicense: CC0-1.0\n"

pytestmark = pytest.mark.skipif(
    shutil.which("dpkg-deb") is None, reason="needs dpkg-deb, which builds Debian packages"
)


def noise(seed: int, seconds: float) -> NDArray[np.float64]:
    """Noise whose spectrum changes every tenth of a second, at -23 dBFS RMS."""
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(round(10 * seconds)):
        white = rng.standard_normal(RATE // 10)
        parts.append(np.convolve(white, rng.standard_normal(8), "same"))
    x = np.concatenate(parts)
    return 0.07 * x / np.sqrt(np.mean(x**2))


def build(folder: Path, name: str, sounds: dict[str, NDArray[np.float64]]) -> None:
    """`folder`/`name`_1.0_all.deb with `sounds` and a copyright file."""
    tree = folder.parent / f"tree of {name}"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: 1.0\nArchitecture: all\nMaintainer: A <a@b>\nDescription: b\n"
    )
    document = tree / "usr/share/doc" / name / "copyright"
    document.parent.mkdir(parents=True)
    document.write_text(LICENCE)
    for file, samples in sounds.items():
        path = tree / "usr/share" / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, RATE)
    folder.mkdir(exist_ok=True)
    command = ["dpkg-deb", "--root-owner-group", "-Znone", "-b", str(tree)]
    subprocess.run([*command, str(folder / f"{name}_1.0_all.deb")], check=True, capture_output=True)


def table(place: Path, **packages: dict[str, object]) -> Path:
    """A list of `packages`, whose entries may change what is usual."""
    entries: list[dict[str, object]] = []
    for name, changes in packages.items():
        kinds = {"sound": [f"usr/share/{name}/**/*"]}
        usual = {"package": name, "licence": "CC0-1.0", "proof": ["License: CC0-1.0"]}
        entries.append({**usual, "kinds": kinds, **changes})
    path = place / "table.yaml"
    path.write_text(yaml.safe_dump({"packages": entries}))
    return path


def run(place: Path, listed: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Run the script on the packages built in `place`/debs."""
    command = [sys.executable, str(ROOT / "scripts/make_corpus.py"), str(place / "out")]
    command += ["--work", str(place), "--table", str(listed), *more]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def rows(manifest: Path) -> list[dict[str, str]]:
    with manifest.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def paths(manifest: Path) -> list[str]:
    """Where the rows come from, inside their package."""
    return [row["path"].split("/", 3)[3] for row in rows(manifest)]


@pytest.mark.slow
def test_pieces_worth_having_are_kept_with_where_they_come_from(tmp_path: Path) -> None:
    good, other = noise(1, 31.5), noise(2, 3)
    sounds = {
        "a/good.wav": good,
        "a/short.wav": noise(3, 0.5),
        "b/again.wav": good,
        "b/clipped.wav": np.sign(noise(4, 3)),
        "b/other.wav": other,
        "b/quieter.flac": other / 3,
        "c/silence.wav": noise(5, 3) * 0.01,
    }
    build(tmp_path / "debs", "birds", sounds)
    listed = table(tmp_path, birds={})
    done = run(tmp_path, listed)
    assert done.returncode == 0, done.stderr
    manifest = tmp_path / "out/manifest.csv"
    assert paths(manifest) == ["a/good.wav#0+30.00s", "a/good.wav#30+1.50s", "b/other.wav#0+3.00s"]
    first = rows(manifest)[0]
    assert (first["source_repository"], first["commit"]) == ("birds", "1.0")
    assert (first["kind"], first["licence"], first["source_rate"]) == ("sound", "CC0-1.0", "8000")
    lengths = [soundfile.info(tmp_path / "out" / row["file"]) for row in rows(manifest)]
    assert [info.duration for info in lengths] == pytest.approx([30.0, 1.5, 3.0], abs=0.01)
    assert {info.subtype for info in lengths} == {"OPUS"}
    for reason in ("1 clipped", "1 same file", "1 same sound", "1 short", "1 silence"):
        assert reason in done.stdout


@pytest.mark.slow
def test_packages_held_out_give_clips_and_nothing_of_them_is_trained_with(tmp_path: Path) -> None:
    shared = noise(1, 4)
    build(tmp_path / "debs", "held", {f"{n}.wav": noise(10 + n, 4) for n in range(5)})
    build(tmp_path / "debs", "learnt", {"mine.wav": noise(2, 4)})
    build(tmp_path / "debs", "twin", {"theirs.wav": shared, "mine.wav": noise(3, 4)})
    build(tmp_path / "debs", "held2", {"shared.wav": shared})
    listed = table(tmp_path, held={"held_out": True}, held2={"held_out": True}, learnt={}, twin={})
    done = run(tmp_path, listed, "--flac", "--clips", "3", "--clip-seconds", "2")
    assert done.returncode == 0, done.stderr
    clips = rows(tmp_path / "out/dev/manifest.csv")
    assert [row["source_repository"] for row in clips] == ["held", "held", "held", "held2"]
    for row in clips:
        assert soundfile.info(tmp_path / "out/dev" / row["file"]).frames == 2 * RATE
    assert paths(tmp_path / "out/manifest.csv") == ["mine.wav#0+4.00s", "mine.wav#0+4.00s"]


@pytest.mark.slow
def test_a_second_run_makes_only_what_is_missing(tmp_path: Path) -> None:
    build(tmp_path / "debs", "first", {"a.wav": noise(1, 2)})
    build(tmp_path / "debs", "second", {"same.flac": noise(1, 2), "b.wav": noise(2, 2)})
    listed = table(tmp_path, first={}, second={})
    assert run(tmp_path, listed, "--packages", "first").returncode == 0
    piece = tmp_path / "out" / rows(tmp_path / "out/manifest.csv")[0]["file"]
    before = piece.stat().st_mtime_ns
    done = run(tmp_path, listed, "--portion-mb", "1")
    assert done.returncode == 0, done.stderr
    assert piece.stat().st_mtime_ns == before
    # What the first package had is a duplicate in the second, though another run heard it.
    assert paths(tmp_path / "out/manifest.csv") == ["a.wav#0+2.00s", "b.wav#0+2.00s"]
    with tarfile.open(tmp_path / "out/portions/portion-00.tar") as tar:
        files = [row["file"] for row in rows(tmp_path / "out/manifest.csv")]
        assert tar.getnames() == ["manifest.csv", *files]


@pytest.mark.slow
def test_other_settings_leave_no_files_of_the_ones_before(tmp_path: Path) -> None:
    build(tmp_path / "debs", "first", {"a.wav": noise(1, 2)})
    build(tmp_path / "debs", "second", {"b.wav": noise(2, 2)})
    listed = table(tmp_path, first={}, second={})
    assert run(tmp_path, listed).returncode == 0
    done = run(tmp_path, listed, "--flac", "--packages", "first")
    assert "second: made with other settings, not listed now" in done.stderr
    left = sorted(path.name for path in (tmp_path / "out/sound/first").iterdir())
    assert left == ["00000.flac"]
    assert [row["file"] for row in rows(tmp_path / "out/manifest.csv")] == [
        "sound/first/00000.flac"
    ]


@pytest.mark.slow
def test_a_package_whose_licence_is_another_is_refused_and_the_others_are_made(
    tmp_path: Path,
) -> None:
    build(tmp_path / "debs", "changed", {"a.wav": noise(1, 2)})
    build(tmp_path / "debs", "kept", {"b.wav": noise(2, 2)})
    listed = table(tmp_path, changed={"proof": ["License: MIT"]}, kept={})
    done = run(tmp_path, listed)
    assert done.returncode == 1
    assert "changed: its copyright file does not say 'License: MIT'" in done.stderr
    assert "Traceback" not in done.stderr
    assert [row["source_repository"] for row in rows(tmp_path / "out/manifest.csv")] == ["kept"]
    assert not (tmp_path / "out/sound/changed").exists()


def test_the_list_names_a_package_once_and_gives_a_reason_for_each_left_out() -> None:
    listed = yaml.safe_load((ROOT / "scripts/corpus_packages.yaml").read_text())
    names = [entry["package"] for entry in listed["packages"]]
    assert len(names) == len(set(names))
    assert not set(names) & set(listed["left_out"])
    assert all(entry["proof"] and entry["kinds"] for entry in listed["packages"])
    assert all(listed["left_out"].values())
