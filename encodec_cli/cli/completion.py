"""What the shell offers after Tab: names of models, and files of the kinds a command takes."""

from collections.abc import Callable
from pathlib import Path

__all__ = ["complete_files", "complete_language_models", "complete_models", "complete_published"]

_CHECKPOINT_SUFFIXES = frozenset({".safetensors", ".th", ".bin"})


def complete_files(suffixes: frozenset[str]) -> Callable[[str], list[str]]:
    """A completion that offers folders, and files with one of `suffixes`."""

    def complete(incomplete: str) -> list[str]:
        found = _entries(incomplete, suffixes)
        # A shell puts a space after a single candidate, but from a folder people go on.
        inside = found if len(found) == 1 and found[0].endswith("/") else []
        return found + [entry for folder in inside for entry in _entries(folder, suffixes)]

    return complete


def complete_models(incomplete: str) -> list[str]:
    """Names that --model takes without a path; checkpoint files where no name begins so.

    Not both: bash sorts what it is given, and names would drown among files.
    """
    from encodec_cli.checkpoints.card import bundled_models

    return _names_or_files(bundled_models() + _pulled(codecs=True), incomplete)


def complete_language_models(incomplete: str) -> list[str]:
    """Names that --lm takes without a path; checkpoint files where no name begins so."""
    return _names_or_files(_pulled(codecs=False), incomplete)


def complete_published(incomplete: str) -> list[str]:
    """Names that can be pulled."""
    from encodec_cli.checkpoints.published import PUBLISHED

    return [name for name in PUBLISHED if name.startswith(incomplete)]


def _pulled(*, codecs: bool) -> list[str]:
    """Names of the published codecs, or language models, that are on this machine."""
    from encodec_cli.checkpoints.published import PUBLISHED, pulled_path

    return [
        name
        for name, model in PUBLISHED.items()
        if (model.config is not None) == codecs and pulled_path(model).exists()
    ]


def _names_or_files(names: list[str], incomplete: str) -> list[str]:
    found = [name for name in names if name.startswith(incomplete)]
    return found or complete_files(_CHECKPOINT_SUFFIXES)(incomplete)


def _entries(incomplete: str, suffixes: frozenset[str]) -> list[str]:
    """Paths that begin with `incomplete`, as they were begun; folders end with a slash."""
    folder, slash, start = incomplete.rpartition("/")
    try:
        entries = sorted(Path(folder + slash or ".").expanduser().iterdir())
        found = []
        for entry in entries:
            if not entry.name.startswith(start) or (entry.name.startswith(".") and not start):
                continue
            if entry.is_dir():
                found.append(f"{folder}{slash}{entry.name}/")
            elif entry.suffix.lower() in suffixes:
                found.append(f"{folder}{slash}{entry.name}")
    except OSError:  # no such folder, or a secret one: nothing to offer
        return []
    return found
