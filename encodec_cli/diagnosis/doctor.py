"""What a bug report should say of the machine and the installation; nothing here is repaired."""

import importlib
import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from encodec_cli import __version__
from encodec_cli.checkpoints.card import bundled_models, find_model
from encodec_cli.checkpoints.published import models_folder
from encodec_cli.config.bundled import DEFAULT_MODEL, checkpoints_folder, configs_folder
from encodec_cli.diagnosis.installation import dependencies, installation
from encodec_cli.dsp.torchaudio_import import import_torchaudio
from encodec_cli.errors import EncodecCliError

__all__ = ["examine"]

# What this package takes from torchaudio.
_TORCHAUDIO_PARTS = (
    ("functional", "resample"),
    ("functional", "melscale_fbanks"),
    ("transforms", "MelSpectrogram"),
)


def examine() -> dict[str, Any]:
    """Facts by topic, ready for JSON; whatever cannot be had is a text that says why.

    `problems` lists what keeps part of the program from working.
    """
    problems: list[str] = []

    def attempt(topic: str, look: Callable[[], Any]) -> Any:
        try:
            return look()
        except EncodecCliError as error:  # written to be read
            problems.append(f"{topic}: {error}")
            return str(error)
        except Exception as error:  # broken libraries raise anything; a report must still come out
            line = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            problems.append(f"{topic}: {line}")
            return line

    names = attempt("dependencies", dependencies)
    required, optional = names if isinstance(names, tuple) else ([], [])
    versions = {name: _version(name) for name in required}
    problems += [f"{name}: not installed" for name, version in versions.items() if version is None]
    facts = {
        "encodec_cli": {"version": __version__, "path": str(Path(__file__).parent.parent)},
        "installation": attempt("installation", installation),
        "python": {"version": platform.python_version(), "executable": sys.executable},
        "system": {"platform": platform.platform(), "machine": platform.machine()},
        "versions": versions | {"libsndfile": attempt("soundfile", _libsndfile)},
        "optional": {name: _version(name) for name in optional},
        "cpu": attempt("cpu", _cpu),
        "devices": attempt("devices", _devices),
        "torchaudio": attempt("torchaudio", _torchaudio),
        "models": attempt("models", _models),
        "paths": attempt("paths", _paths),
    }
    models = facts["models"]
    if isinstance(models, Mapping) and DEFAULT_MODEL not in models:
        problems.append(f"models: the default model {DEFAULT_MODEL} is not among the bundled ones")
    return {**facts, "problems": problems}


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _libsndfile() -> str:
    import soundfile

    return str(soundfile.__libsndfile_version__)


def _cpu() -> dict[str, Any]:
    import torch

    return {
        "capability": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }


def _devices() -> dict[str, str]:
    """Names for --device, and what they are."""
    import torch

    devices = {"cpu": platform.processor() or platform.machine()}
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            devices[f"cuda:{i}"] = f"{torch.cuda.get_device_name(i)}, CUDA {torch.version.cuda}"
    if torch.backends.mps.is_available():
        devices["mps"] = "Metal"
    return devices


def _torchaudio() -> dict[str, Any]:
    """How it loads, ordinarily or beside our stand-in for its extension, and what of it does."""
    torchaudio = import_torchaudio()
    extension = sys.modules["torchaudio._extension"]
    stand_in = getattr(extension, "__file__", None) is None
    parts = {
        f"{module}.{name}": _has(torchaudio, module, name) for module, name in _TORCHAUDIO_PARTS
    }
    return {"import": "with our stand-in" if stand_in else "ordinary", **parts}


def _has(package: ModuleType, module: str, name: str) -> bool:
    return hasattr(importlib.import_module(f"{package.__name__}.{module}"), name)


def _models() -> dict[str, int]:
    """Bytes of each bundled model."""
    return {name: find_model(name).stat().st_size for name in bundled_models()}


def _paths() -> dict[str, str]:
    return {
        "bundled models": str(checkpoints_folder()),
        "bundled configs": str(configs_folder()),
        "pulled models": str(models_folder()),
    }
