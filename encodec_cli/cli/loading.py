"""Loading the model that a command was told to use."""

from typing import TYPE_CHECKING

from encodec_cli.cli.options import DTypeName

if TYPE_CHECKING:
    from encodec_cli.engine.lm.model import LanguageModel
    from encodec_cli.model.module import CompressionModel

__all__ = ["load", "load_lm"]


def load(
    name: str, device: str, threads: int | None, dtype: DTypeName = DTypeName.fp32
) -> "CompressionModel":
    """Model `name` on `device` ("auto" is a GPU if there is one), with `threads` CPU threads.

    Raises:
        CheckpointError, UsageError: see `load_model`, and `check_bf16` for `dtype`.
    """
    import torch

    from encodec_cli.checkpoints.load import load_model

    if threads is not None:
        torch.set_num_threads(threads)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if dtype is DTypeName.fp32:
        return load_model(name, device=device)

    from encodec_cli.model.precision import check_bf16

    model = load_model(name, device=device, dtype=torch.bfloat16)
    check_bf16(next(model.parameters()).device)
    return model


def load_lm(name: str | None, model: "CompressionModel") -> "LanguageModel | None":
    """Language model `name` for codes of `model`; None if none was asked for.

    Raises:
        CheckpointError, UsageError: see `load_language_model`.
    """
    if name is None:
        return None

    from encodec_cli.checkpoints.language_model import load_language_model

    return load_language_model(name, model.config)
