"""`train`: run or resume a recipe; `train-entropy`: a code model for a model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from encodec_cli.cli import options
from encodec_cli.cli.completion import complete_models
from encodec_cli.errors import UsageError

if TYPE_CHECKING:
    from encodec_cli.train.entropy.codes import Source

__all__ = ["train", "train_entropy"]


def train(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A training recipe, YAML.")],
    device: options.Device = "auto",
    threads: options.Threads = None,
) -> None:
    """Train a model, or go on with a run that was stopped.

    Starting the same recipe again resumes it at the step it had saved.
    """
    from encodec_cli.train.config import load_train_config
    from encodec_cli.train.loop import train as run

    recipe = load_train_config(config)
    run(recipe, config, device=_device(device, threads))


def train_entropy(
    model: Annotated[
        str,
        typer.Argument(help="A bundled model's name or a path.", autocompletion=complete_models),
    ],
    data: Annotated[str, typer.Option(metavar="FOLDER|MANIFEST", help="Recordings to learn from.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The code model's file.")],
    validation: Annotated[
        str | None,
        typer.Option(metavar="FOLDER|MANIFEST", help="Recordings to judge by, not to learn from."),
    ] = None,
    minutes: Annotated[float, typer.Option(min=0.01, help="How long, codes not counted.")] = 60,
    steps: Annotated[
        int | None, typer.Option(min=1, help="How many batches, instead of minutes.")
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(help="Keeps codes, state and log; OUTPUT.training unless given."),
    ] = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    force: options.Force = False,
) -> None:
    """Train a model of MODEL's codes, with which files take a third less.

    The codes are made as `encode` makes them, at each bandwidth the model was trained for. Starting
    again with the same folder goes on where the run was.
    """
    device = _device(device, threads)

    from encodec_cli.checkpoints.card import find_model
    from encodec_cli.train.entropy.loop import Schedule
    from encodec_cli.train.entropy.run import CodeTraining, train_code_model

    training = CodeTraining(
        model=find_model(model),
        sources=_sources(data),
        validation=[] if validation is None else _sources(validation),
        folder=folder or output.with_name(f"{output.name}.training"),
        target=output,
        device=device,
        force=force,
    )
    train_code_model(training, Schedule(minutes, steps))


def _sources(argument: str) -> "list[Source]":
    from encodec_cli.cli.recordings import find_recordings
    from encodec_cli.train.entropy.codes import Source

    found = find_recordings([argument], recursive=True)
    return [Source(path, kind or "") for path, kind in found.items()]


def _device(device: str, threads: int | None) -> str:
    """The device that `device` names, which works; torch has that many threads from now on."""
    import torch

    from encodec_cli.model.device import automatic_device, check_device

    if threads is not None:
        torch.set_num_threads(threads)
    if device == "auto":
        device = automatic_device()
    check_device(device)
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        line = " ".join(str(error).split())[:160]
        raise UsageError(f"--device {device}: cannot be used here ({line})") from error
    return device
