"""What a recipe names: the networks' config, models to begin with, manifests and their recordings.

`faults_of_files` looks at all of it before a run begins, so that what is wrong is said at once.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from encodec_cli.checkpoints.card import find_model
from encodec_cli.config.bundled import configs_folder
from encodec_cli.config.codec import load_codec_config
from encodec_cli.errors import EncodecCliError
from encodec_cli.io.manifest import read_manifest_rows

__all__ = ["faults_of_files", "networks_config"]

_MOST_NAMED = 3


def networks_config(recipe: Path, model: str) -> Path:
    """The config of the networks: a file beside the recipe, or that of a bundled model's name."""
    beside, bundled = recipe.parent / model, configs_folder() / f"{model}.yaml"
    is_name = Path(model).name == model and bundled.is_file()
    return bundled if is_name and not beside.is_file() else beside


def faults_of_files(data: Mapping[str, Any], recipe: Path) -> list[str]:
    """What is wrong with the files that `data`, read from the file `recipe`, names; a line each.

    Values of the wrong type are passed over: `config.schema` finds those.
    """
    faults = []
    for key, check, value in _named(data, recipe):
        try:
            check(value)
        except EncodecCliError as error:
            faults.append(f"{key}: {error}")
    return faults


def _named(data: Mapping[str, Any], recipe: Path) -> Iterator[tuple[str, Any, Any]]:
    """Key, check and value of everything that is a file."""
    model, warm_start, lists = data.get("model"), data.get("warm_start"), data.get("data")
    if isinstance(model, str):
        yield "model", load_codec_config, networks_config(recipe, model)
    if isinstance(warm_start, list):
        yield from (("warm_start", find_model, path) for path in warm_start if _is_text(path))
    if isinstance(lists, Mapping):
        for key in ("manifest", "validation"):
            if _is_text(lists.get(key)):
                yield f"data: {key}", _check_manifest, Path(lists[key])


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _check_manifest(path: Path) -> None:
    """Refuse a manifest that lists files that are not there.

    Raises:
        ConfigError: no manifest; see `read_manifest_rows`.
        EncodecCliError: recordings are missing; names the first.
    """
    files = [row["file"] for row in read_manifest_rows(path, ("file", "kind"))]
    missing = [name for name in files if not (path.parent / name).is_file()]
    if not missing:
        return
    names = ", ".join(missing[:_MOST_NAMED])
    more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
    raise EncodecCliError(
        f"{path}: {len(missing)} of {len(files)} recordings are not there, seen from "
        f"{path.parent}: {names}{more}"
    )
