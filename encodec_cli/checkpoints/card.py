"""Our checkpoint format, seen without torch: names, lookup, metadata.

One `.safetensors` file is one model: tensors under the names of `CompressionModel`'s state (norms
of weights folded, codebooks without their training state; fp16 or fp32), and in the header's
metadata `format` = "encodec-cli", `format_version`, `config` (JSON), `name`, `licence`,
`training_data`, `metrics` (JSON), and `identity` where the codes are those of another file: its
SHA-256. So `.ecdc` files made with either decode with both. It is there after a conversion, and
where the decoder alone was trained on. `unfinished` = "true" marks what a training run saved on its
way, and replaces when it goes on.
"""

import difflib
import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from encodec_cli.checkpoints.foreign.hub_folder import weights_place
from encodec_cli.checkpoints.published import PUBLISHED, pulled_path
from encodec_cli.config.bundled import checkpoints_folder
from encodec_cli.config.codec import CodecConfig
from encodec_cli.errors import CheckpointError, ConfigError

__all__ = [
    "FORMAT_VERSION",
    "ModelCard",
    "bundled_models",
    "file_sha256",
    "find_model",
    "read_card",
]

FORMAT_VERSION = 1
_MOST_LEVELS = 8


@dataclass(frozen=True)
class ModelCard:
    """What a checkpoint says of itself."""

    path: Path
    config: CodecConfig
    licence: str
    training_data: str
    metrics: dict[str, Any]
    parameters: int
    """Numbers in the file, codebooks included."""
    dtype: str
    """Type of the stored numbers, "F16" or "F32"."""
    identity: str | None
    """SHA-256 of the file whose codes these are; None if that is the file itself."""
    bytes: int
    """Size of the file, or of the files that hold the weights together."""
    assumed: str | None = None
    """What was assumed because the file does not say it, in words; None if nothing was."""
    unfinished: bool = False
    """Whether the training run that saved it will replace it."""

    @property
    def name(self) -> str:
        return self.config.name


def bundled_models() -> list[str]:
    """Names of the models that ship with the package."""
    stems = (path.stem for path in checkpoints_folder().glob("*.safetensors"))
    return sorted(stem for stem in stems if not stem.endswith(".codes"))  # those are code models


def find_model(name_or_path: str | Path) -> Path:
    """The file or folder behind the name of a bundled or pulled model, or a path.

    Raises:
        CheckpointError: none of these; says how to pull it, or names the nearest model.
    """
    text = str(name_or_path)
    bundled = checkpoints_folder() / f"{text}.safetensors"
    if text in bundled_models():
        return bundled
    path = Path(name_or_path)
    if path.exists():
        return weights_place(path)
    if text in PUBLISHED:
        pulled = pulled_path(PUBLISHED[text])
        if pulled.exists():
            return pulled
        raise CheckpointError(
            f"model {text}: is not on this machine yet; run: encodec-cli models pull {text}"
        )
    names = bundled_models()
    near = difflib.get_close_matches(text, [*names, *PUBLISHED], n=1)
    hint = f"bundled models: {', '.join(names) or 'none'}; see encodec-cli models list"
    if near:
        hint = f"did you mean {near[0]}?"
    raise CheckpointError(f"model {text!r}: no such file or bundled model; {hint}")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal; `.ecdc` files name their model by it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_card(path: Path) -> ModelCard:
    """Metadata of a checkpoint of ours, without reading its tensors.

    Raises:
        CheckpointError: not a safetensors file, truncated, or not made by this program.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            slices = [file.get_slice(name) for name in file.keys()]  # noqa: SIM118 - not a dict
            shapes = [s.get_shape() for s in slices]
            dtypes = {s.get_dtype() for s in slices}
    except (SafetensorError, OSError) as error:
        line = " ".join(str(error).split())
        raise CheckpointError(f"{path}: not a readable safetensors file: {line}") from error
    if metadata.get("format") != "encodec-cli":
        raise CheckpointError(
            f"{path}: a safetensors file, but not a model of encodec-cli "
            "(its metadata lacks format: encodec-cli)"
        )
    if metadata.get("format_version") != str(FORMAT_VERSION):
        raise CheckpointError(
            f"{path}: format version {metadata.get('format_version')}; this program reads "
            f"{FORMAT_VERSION}; upgrade encodec-cli"
        )
    try:
        config = CodecConfig.from_dict(json.loads(metadata["config"]), f"{path}: config")
        metrics = json.loads(metadata.get("metrics", "{}"))
        if not _is_shallow(metrics, _MOST_LEVELS):
            raise ValueError(f"metrics of more than {_MOST_LEVELS} levels")
    except (KeyError, ValueError, RecursionError, ConfigError) as error:
        raise CheckpointError(f"{path}: damaged metadata: {error}") from error
    return ModelCard(
        path=path,
        config=config,
        licence=metadata.get("licence", "unstated"),
        training_data=metadata.get("training_data", "unstated"),
        metrics=metrics if isinstance(metrics, dict) else {},
        parameters=sum(math.prod(shape) for shape in shapes),
        dtype="/".join(sorted(dtypes)),
        identity=metadata.get("identity"),
        bytes=path.stat().st_size,
        unfinished=metadata.get("unfinished") == "true",
    )


def _is_shallow(value: Any, levels: int) -> bool:
    """Whether `value`, read from JSON, has at most so many levels of mappings and lists."""
    if not isinstance(value, dict | list):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_is_shallow(item, levels - 1) for item in inner)
