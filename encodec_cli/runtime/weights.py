"""The weights of a model file of ours, checked when it is opened and read when they are used."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from encodec_cli.config.codec import CodecConfig
from encodec_cli.config.tensors import check_shapes
from encodec_cli.errors import CheckpointError
from encodec_cli.runtime.bfloat16 import read_bfloat16
from encodec_cli.runtime.scratch import Numbers

__all__ = ["Weights"]

_FLOATS = ("BF16", "F16", "F32", "F64")


class Weights:
    """The tensors of the codec of `config` in the file `path`, by name.

    Their names and shapes are checked here, their numbers when they are read: what is never used
    costs nothing.

    Raises:
        CheckpointError: unreadable, damaged, or tensors that do not fit `config`.
    """

    def __init__(self, path: Path, config: CodecConfig) -> None:
        self._path = path
        self._lock = threading.Lock()
        try:
            file: Any = safe_open(path, framework="numpy")
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path}: damaged: {' '.join(str(error).split())}") from error
        self._file = file
        self._slices = slices
        check_shapes(config, {k: tuple(v.get_shape()) for k, v in slices.items()}, str(path))
        for name, value in slices.items():
            if value.get_dtype() not in _FLOATS:
                raise CheckpointError(
                    f"{path}: {name}: holds {value.get_dtype()}, not fp32, fp16 or bf16 numbers"
                )

    def __call__(self, name: str) -> Numbers:
        """The tensor `name` in fp32.

        Raises:
            CheckpointError: it holds numbers that are not finite.
        """
        with self._lock:
            value = self._read(name)
        if not np.isfinite(value).all():
            raise CheckpointError(f"{self._path}: {name}: holds numbers that are not finite")
        return value

    def _read(self, name: str) -> Numbers:
        if self._slices[name].get_dtype() == "BF16":
            return read_bfloat16(self._path, name)
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused
            numbers: Numbers = self._file.get_tensor(name).astype(np.float32)
        return numbers
