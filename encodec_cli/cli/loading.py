"""Loading the model that a command was told to use."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from encodec_cli.model import CompressionModel

__all__ = ["load"]


def load(name: str, device: str, threads: int | None) -> "CompressionModel":
    """Model `name` on `device` ("auto" is a GPU if there is one), with `threads` CPU threads.

    Raises:
        CheckpointError, UsageError: see `load_model`.
    """
    import torch

    from encodec_cli.checkpoint import load_model

    if threads is not None:
        torch.set_num_threads(threads)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return load_model(name, device=device)
