"""What the shell offers after Tab: names of models, and files of the kinds a command takes."""

from collections.abc import Callable
from pathlib import Path

__all__ = ["complete_files", "complete_models", "complete_published"]

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
    """Names that --model takes without a path, then checkpoint files."""
    from encodec_cli.model_file import bundled_models
    from encodec_cli.published import PUBLISHED, pulled_path

    names = bundled_models() + [
        name
        for name, model in PUBLISHED.items()
        if model.config is not None and pulled_path(model).exists()
    ]
    found = [name for name in names if name.startswith(incomplete)]
    return found + complete_files(_CHECKPOINT_SUFFIXES)(incomplete)


def complete_published(incomplete: str) -> list[str]:
    """Names that can be pulled."""
    from encodec_cli.published import PUBLISHED

    return [name for name in PUBLISHED if name.startswith(incomplete)]


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
