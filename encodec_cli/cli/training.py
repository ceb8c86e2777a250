"""`train`: run or resume a recipe; `train-entropy`: a code model for a model."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from encodec_cli.cli import options
from encodec_cli.cli.completion import complete_models
from encodec_cli.cli.console import warn
from encodec_cli.cli.loading import lasting
from encodec_cli.errors import UsageError

if TYPE_CHECKING:
    from encodec_cli.train.entropy.codes import Source

__all__ = ["train", "train_entropy"]


def train(
    config: Annotated[
        Path | None, typer.Argument(metavar="[RECIPE]", help="A training recipe, YAML.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER|MANIFEST", help="Without a recipe: recordings for the bundled model."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="With --data: folder of the run.")
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1, max=1 << 40, help="With --data: 8 s of audio each.", show_default="1000"
        ),
    ] = None,
    init: Annotated[
        bool, typer.Option("--init", help="Print a recipe with comments, to begin with.")
    ] = False,
    device: options.Device = "auto",
    threads: options.Threads = None,
) -> None:
    """Train a model, or go on with a run that was stopped.

    RECIPE says everything; --data FOLDER --output RUN goes on from the bundled model,
    with recordings of your own and a recipe that it writes into RUN.
    Starting the same again resumes the run at the step it had saved.

    Example: encodec-cli train --data my-clips --output run

    Example: encodec-cli train --init > recipe.yaml

    Example: encodec-cli train recipe.yaml
    """
    if [config is not None, data is not None, init].count(True) != 1:
        raise UsageError("give a recipe, or --data FOLDER --output RUN, or --init")
    if (data is None) != (output is None) or (steps is not None and data is None):
        raise UsageError("--data, --output: give both; --steps is for them")

    if init:
        from encodec_cli.train.starter import STARTER

        typer.echo(STARTER, nl=False)
        return

    from encodec_cli.train.config import load_train_config
    from encodec_cli.train.run import train as run

    if data is not None and output is not None:
        config = _prepared(data, output, steps)
    assert config is not None
    recipe = load_train_config(config, with_files=True)
    run(recipe, config, device=_device(device, threads))


def _prepared(data: str, output: Path, steps: int | None) -> Path:
    """The recipe for the recordings of `data`, in the run's folder `output`."""
    from encodec_cli.cli.recordings import find_recordings
    from encodec_cli.train.own_data import prepare_run

    return prepare_run(find_recordings([data], recursive=True), output, steps, warn)


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
    learning_rate: Annotated[
        float | None,
        typer.Option(
            min=1e-9, max=1, help="The highest; it rises and falls.", show_default="0.002"
        ),
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

    Example: encodec-cli train-entropy run/model.safetensors --data my-clips -o run/model.codes
    """
    device = _device(device, threads)

    from encodec_cli.checkpoints.card import find_model
    from encodec_cli.train.entropy.loop import Schedule
    from encodec_cli.train.entropy.run import CodeTraining, train_code_model

    training = CodeTraining(
        model=find_model(lasting(model)),
        sources=_sources(data),
        validation=[] if validation is None else _sources(validation),
        folder=folder or output.with_name(f"{output.name}.training"),
        target=output,
        device=device,
        force=force,
    )
    schedule = Schedule(minutes, steps)
    if learning_rate is not None:
        schedule = replace(schedule, learning_rate=learning_rate)
    train_code_model(training, schedule)


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
