"""Copies of files that will be replaced, beside them, under names that tell their content.

    model.safetensors                  what the next save replaces
    model-1f09ab34cd56.safetensors     its content as it was, named by the start of its SHA-256

Nothing writes to such a name again, so whoever needs that content finds it by its hash.
"""

import hashlib
import shutil
from pathlib import Path

from encodec_cli.io.files import atomic_output

__all__ = ["find_kept", "is_kept", "keep"]

_DIGITS = 12


def keep(path: Path) -> Path:
    """The kept copy of `path`, made if it is not there.

    Raises:
        OutputError: it cannot be written.
        OSError: `path` cannot be read.
    """
    # One descriptor throughout: whoever replaces `path` replaces the name, not this file.
    with path.open("rb") as file:
        kept = _kept_name(path, hashlib.file_digest(file, "sha256").hexdigest())
        if not kept.is_file():
            file.seek(0)
            with atomic_output(kept, force=True) as copy:
                shutil.copyfileobj(file, copy)
    return kept


def find_kept(path: Path, sha256: str) -> Path | None:
    """The copy that was kept of what `path` was when its SHA-256 began with these digits."""
    if len(sha256) < _DIGITS:
        return None
    kept = _kept_name(path, sha256)
    return kept if kept.is_file() else None


def is_kept(path: Path) -> bool:
    """Whether `path` is itself such a copy."""
    stem, dash, digits = path.stem.rpartition("-")
    if not (stem and dash) or len(digits) != _DIGITS or not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest().startswith(digits)


def _kept_name(path: Path, sha256: str) -> Path:
    stem = path.stem.rpartition("-")[0] if is_kept(path) else path.stem
    return path.with_name(f"{stem}-{sha256[:_DIGITS]}{path.suffix}")
