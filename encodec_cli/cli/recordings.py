"""Which recordings a command is to judge, and of which kind they are."""

import re
from functools import cache
from pathlib import Path

from encodec_cli.cli.batch import AUDIO_SUFFIXES, files_in
from encodec_cli.cli.console import warn
from encodec_cli.errors import ConfigError, UsageError
from encodec_cli.io.files import open_input
from encodec_cli.io.folders import search_folder
from encodec_cli.io.manifest import read_manifest_rows

__all__ = ["decoded_files", "find_recordings", "kind_of", "refuse_stream"]

_MANIFEST = "manifest.csv"
_KIND_WORDS = {
    "speech": {"speech", "speaker", "talk", "voice", "interview", "podcast"},
    "music": {"music", "song", "songs", "instrumental", "musik", "musique"},
    "sound": {"noise", "sound", "sounds", "sfx"},
}


def find_recordings(inputs: list[str], *, recursive: bool) -> dict[Path, str | None]:
    """Recordings and their kinds, in order, of files, folders and manifests (CSV).

    The kind is what a manifest, also a `manifest.csv` beside the file, says; else the name of the
    sub-folder in which a folder holds the file; else music or sound if the name of the file or its
    folder has such a word in it (`old music.wav`); else None.

    Raises:
        UsageError: standard input, a pipe or device; a folder without `recursive`; nothing found.
        EncodecCliError: the only recording cannot be opened. Of many, each is reported in its turn.
        ConfigError: see `read_manifest_rows`.
    """
    found: dict[Path, str | None] = {}
    kinds_in = cache(_kinds)
    for argument in inputs:
        path = Path(argument)
        refuse_stream(path)
        if path.suffix.lower() == ".csv":
            rows = read_manifest_rows(path, ("file", "kind"))
            found |= {path.parent / row["file"]: row["kind"] for row in rows}
        elif path.is_dir():
            searched = search_folder(path, AUDIO_SUFFIXES, recursive=recursive)
            for other, reason in searched.not_taken.items():
                warn(f"{other}: not taken: {reason}")
            for file in searched.files:
                folders = file.relative_to(path).parts[:-1]
                group = folders[0] if folders else _kind_by_name(file)
                found[file] = kinds_in(file.parent).get(file.name, group)
        else:
            found[path] = kinds_in(path.parent).get(path.name, _kind_by_name(path))
    if not found:
        raise UsageError(f"{', '.join(inputs)}: no audio files found")
    if len(found) == 1:
        with open_input(*found):
            pass
    return found


def refuse_stream(path: Path) -> None:
    """Refuse what cannot be read from its start again, as a recording is for each bandwidth.

    Raises:
        UsageError: standard input, a pipe or a device.
    """
    if str(path) == "-" or (path.exists() and not path.is_dir() and not path.is_file()):
        raise UsageError(f"{path}: a stream can be read only once; save it as a file first")


def kind_of(path: Path) -> str | None:
    """The kind that a `manifest.csv` beside the file `path` gives it, or its name; if any."""
    return _kinds(path.parent).get(path.name, _kind_by_name(path))


def _kind_by_name(path: Path) -> str | None:
    """music or sound, if the name of the file says so, or else that of its folder; else None.

    A name that speaks of speech as well says nothing.
    """
    for name in (path.stem, path.absolute().parent.name):
        words = set(re.split(r"[^a-z]+", name.lower()))
        found = [kind for kind, known in _KIND_WORDS.items() if words & known]
        if found:
            return None if "speech" in found else found[0]
    return None


def _kinds(folder: Path) -> dict[str, str]:
    """Kinds that `manifest.csv` in `folder` gives to files; none if it is another sort of file."""
    try:
        rows = read_manifest_rows(folder / _MANIFEST, ("file", "kind"))
    except ConfigError:
        return {}
    return {row["file"]: row["kind"] for row in rows}


def decoded_files(references: Path, decoded: Path) -> dict[Path, Path]:
    """For recordings in the folder `references`, the file in `decoded` of the same name, if any.

    Suffixes do not matter, sub-folders do.

    Raises:
        UsageError: not a folder, or two decoded files of the same name.
    """
    for folder in (references, decoded):
        if not folder.is_dir():
            raise UsageError(f"{folder}: is no folder; --reference and --decoded compare folders")
    by_name: dict[Path, Path] = {}
    for file in files_in(decoded, AUDIO_SUFFIXES, recursive=True):
        other = by_name.setdefault(file.relative_to(decoded).with_suffix(""), file)
        if other != file:
            raise UsageError(f"{other} and {file} have the same name; keep one")
    found = {}
    for file in files_in(references, AUDIO_SUFFIXES, recursive=True):
        name = file.relative_to(references).with_suffix("")
        if name in by_name:
            found[file] = by_name[name]
    return found
