"""EnCodec weights that others publish: names, addresses, licences, and where pulled ones lie."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

__all__ = ["PUBLISHED", "PublishedFile", "PublishedModel", "models_folder", "pulled_path"]

_META = "https://dl.fbaipublicfiles.com/encodec/v0/"
_HUB = "https://huggingface.co/"
_MIT = "MIT (Meta's encodec package; see its repository for the weights)"
_NON_COMMERCIAL = "CC-BY-NC 4.0 (audiocraft weights: no commercial use); code MIT"


@dataclass(frozen=True)
class PublishedFile:
    """A file to download."""

    path: str
    """Below the root, or below a mirror of it."""
    sha256_start: str | None
    """First hexadecimal digits of its SHA-256; None where none is published with it."""

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class PublishedModel:
    """Files that are a model together."""

    name: str
    root: str
    files: tuple[PublishedFile, ...]
    licence: str
    config: str | None
    """Bundled config that describes it; None for language models."""


def _meta(name: str, digits: str, config: str | None) -> PublishedModel:
    # Meta ends names with the first 8 digits of the SHA-256.
    file = PublishedFile(f"{name}-{digits}.th", digits)
    return PublishedModel(name, _META, (file,), _MIT, config)


def _hub(name: str, repository: str, config: str) -> PublishedModel:
    # No hash of these files is known to this project: size and content are checked by loading.
    files = (f"{repository}/resolve/main/{file}" for file in ("config.json", "model.safetensors"))
    published = tuple(PublishedFile(path, None) for path in files)
    return PublishedModel(name, _HUB, published, _NON_COMMERCIAL, config)


PUBLISHED: Mapping[str, PublishedModel] = MappingProxyType(
    {
        model.name: model
        for model in (
            _meta("encodec_24khz", "d7cc33bc", "encodec_24khz"),
            _meta("encodec_48khz", "7e698e3e", "encodec_48khz"),
            _meta("encodec_lm_24khz", "1608e3c0", None),
            _meta("encodec_lm_48khz", "7add9fc3", None),
            _hub("encodec_32khz", "facebook/encodec_32khz", "musicgen_32khz"),
        )
    }
)


def models_folder() -> Path:
    """Folder of pulled models: in `ENCODEC_CLI_CACHE` if set, else in the user's cache."""
    import platformdirs

    chosen = os.environ.get("ENCODEC_CLI_CACHE")
    cache = Path(chosen) if chosen else platformdirs.user_cache_path("encodec-cli", False)
    return cache / "models"


def pulled_path(model: PublishedModel) -> Path:
    """Where `model` lies once pulled: a file, or a folder of its files."""
    name = model.files[0].name if len(model.files) == 1 else model.name
    return models_folder() / name
