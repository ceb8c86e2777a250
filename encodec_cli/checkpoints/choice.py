"""Which models a run codes with, as data that another process can take, and load them itself."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from encodec_cli.checkpoints.load import load_model
from encodec_cli.model.codec import Codec
from encodec_cli.model.device import automatic_device

__all__ = ["LoadedModels", "ModelChoice"]


@dataclass(frozen=True, kw_only=True)
class ModelChoice:
    """A codec, where it runs, and a language model if there is one.

    Attributes:
        name: of a bundled codec, or a path; to code with, see `lasting_weights`.
        device: where it runs; "auto" is a GPU if there is one.
        dtype: "float32" or "bfloat16".
        threads: of the CPU that torch computes with.
        config: see `load_model`.
        lm: Meta's language model, a path.
    """

    name: str
    device: str = "auto"
    dtype: str = "float32"
    threads: int = 1
    config: Path | None = None
    lm: str | None = None

    def codec(self, seconds: float | None = None) -> Codec:
        """Load the codec; `seconds` is about how much audio there is, see `load_model`.

        Raises:
            CheckpointError, UsageError: see `load_model`, and `check_bf16` for `dtype`.
        """
        device = automatic_device() if self.device == "auto" else self.device
        codec = load_model(
            self.name,
            device=device,
            dtype=self.dtype,
            seconds=seconds,
            config=self.config,
            to_code=False,
        )
        if codec.runs_on != "numpy":
            import torch

            torch.set_num_threads(self.threads)
            if self.dtype == "bfloat16":
                from encodec_cli.model.precision import check_bf16

                check_bf16(torch.device(device))
        return codec


class LoadedModels:
    """The models of a choice, each loaded when it is first asked for."""

    def __init__(self, choice: ModelChoice) -> None:
        self._choice = choice

    @cached_property
    def codec(self) -> Codec:
        return self._choice.codec()

    @cached_property
    def lm(self) -> Any:
        """The language model; None if none was chosen."""
        if self._choice.lm is None:
            return None

        from encodec_cli.checkpoints.language_model import load_language_model

        return load_language_model(self._choice.lm, self.codec.config)
