"""`train`: run or resume a recipe."""

from pathlib import Path
from typing import Annotated

import typer

from encodec_cli.cli import options
from encodec_cli.errors import UsageError

__all__ = ["train"]


def train(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A training recipe, YAML.")],
    device: options.Device = "auto",
    threads: options.Threads = None,
) -> None:
    """Train a model, or go on with a run that was stopped.

    Starting the same recipe again resumes it at the step it had saved.
    """
    import torch

    from encodec_cli.model.device import check_device
    from encodec_cli.train.config import load_train_config
    from encodec_cli.train.loop import train as run

    if device != "auto":
        check_device(device)
    recipe = load_train_config(config)
    if threads is not None:
        torch.set_num_threads(threads)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        line = " ".join(str(error).split())[:160]
        raise UsageError(f"--device {device}: cannot be used here ({line})") from error
    run(recipe, config, device=device)
