"""What ships with the package: configs, checkpoints, and which one is the default."""

from pathlib import Path

__all__ = ["DEFAULT_MODEL", "checkpoints_folder", "configs_folder"]

DEFAULT_MODEL = "ecli_24khz"

_PACKAGE = Path(__file__).resolve().parent.parent


def _folder(name: str) -> Path:
    """In an installed wheel inside the package, in a source checkout beside it."""
    installed = _PACKAGE / "_data" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name


def checkpoints_folder() -> Path:
    """Folder of the bundled `.safetensors` models."""
    return _folder("checkpoints")


def configs_folder() -> Path:
    """Folder of the bundled YAML configs."""
    return _folder("configs")
