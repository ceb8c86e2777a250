"""Debian packages with recordings: the table of them, fetching, unpacking, checking the licence."""

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

from encodec_cli.errors import EncodecCliError
from encodec_cli.io.recordings import is_recording

__all__ = [
    "Package",
    "PackageError",
    "check_licence",
    "fetch",
    "read_table",
    "recordings",
    "unpack",
]


class PackageError(EncodecCliError):
    """A package that cannot be had or must not be used."""


@dataclass(frozen=True)
class Package:
    """One entry of the table; see the comment at its top.

    Attributes:
        kinds: patterns of paths, by kind of recording.
    """

    name: str
    licence: str
    proof: tuple[str, ...]
    kinds: dict[str, list[str]]
    held_out: bool = False


def read_table(path: Path) -> list[Package]:
    """The packages of the table at `path`."""
    table = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [
        Package(
            entry["package"],
            entry["licence"],
            tuple(entry["proof"]),
            entry["kinds"],
            entry.get("held_out", False),
        )
        for entry in table["packages"]
    ]


def fetch(name: str, folder: Path) -> Path:
    """The `.deb` of the package `name` in `folder`, downloaded unless it is there.

    Raises:
        PackageError: the archive does not give it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if there := sorted(folder.glob(f"{name}_*.deb")):
        return there[-1]
    with tempfile.TemporaryDirectory(dir=folder) as place:
        _run(["apt-get", "download", name], name, cwd=Path(place))
        file = next(Path(place).glob("*.deb"))
        return file.rename(folder / file.name)


def unpack(deb: Path, folder: Path) -> str:
    """Unpack `deb` into the new folder `folder`; the version of the package.

    Raises:
        PackageError: it is damaged.
    """
    _run(["dpkg-deb", "-x", str(deb.resolve()), str(folder)], deb.name)
    return _run(["dpkg-deb", "-f", str(deb.resolve()), "Version"], deb.name).strip()


def _run(command: list[str], name: str, cwd: Path | None = None) -> str:
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    except OSError as error:
        raise PackageError(f"{name}: cannot run {command[0]}: {error.strerror}") from error
    if done.returncode:
        reason = (done.stderr.strip() or "no reason given").splitlines()[-1]
        raise PackageError(f"{name}: {' '.join(command[:2])} failed: {reason}")
    return done.stdout


def check_licence(package: Package, tree: Path) -> None:
    """Refuse `package`, unpacked at `tree`, if its copyright file lacks a line of the proof.

    Raises:
        PackageError: it does, or there is no such file.
    """
    path = tree / "usr/share/doc" / package.name / "copyright"
    try:
        text = " ".join(path.read_text(encoding="utf-8", errors="replace").split())
    except OSError as error:
        raise PackageError(f"{package.name}: no copyright file; not used") from error
    for line in package.proof:
        if " ".join(line.split()) not in text:
            raise PackageError(
                f"{package.name}: its copyright file does not say {line[:60]!r}; read it, "
                "then change the table or leave the package out"
            )


def recordings(package: Package, tree: Path) -> list[tuple[str, Path]]:
    """Kind and path of each recording of `package`, unpacked at `tree`, in order of paths.

    Symbolic links are left out: they lead to another recording, or out of the package.
    """
    found = {
        path: kind
        for kind, patterns in package.kinds.items()
        for pattern in patterns
        for path in tree.glob(pattern)
        if path.is_file() and not path.is_symlink() and is_recording(path)
    }
    return [(kind, path) for path, kind in sorted(found.items())]
