"""Folders that ship with the package."""

from pathlib import Path

__all__ = ["checkpoints_folder", "configs_folder"]

_PACKAGE = Path(__file__).resolve().parent.parent


def checkpoints_folder() -> Path:
    """Folder of the bundled `.safetensors` models and code models."""
    return _folder("checkpoints")


def configs_folder() -> Path:
    """Folder of the bundled YAML configs."""
    return _folder("configs")


def _folder(name: str) -> Path:
    """In an installed wheel inside the package, in a source checkout beside it."""
    installed = _PACKAGE / "_data" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name
