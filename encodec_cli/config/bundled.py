"""What ships with the package: configs, checkpoints, and which one is the default."""

from encodec_cli.io.bundled import checkpoints_folder, configs_folder

__all__ = ["DEFAULT_MODEL", "checkpoints_folder", "configs_folder"]

DEFAULT_MODEL = "ecli_24khz"
