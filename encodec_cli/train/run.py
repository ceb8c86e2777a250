"""A recipe from its first step to its last, and what is said on the way."""

from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from encodec_cli.train.cache import read_manifest
from encodec_cli.train.config import TrainConfig
from encodec_cli.train.data import Corpus
from encodec_cli.train.loop import Trainer
from encodec_cli.train.telling import (
    loss_words,
    progress_line,
    share_line,
    validation_lines,
    verdict,
)

__all__ = ["train"]


def train(
    config: TrainConfig, recipe: Path, *, device: str = "cpu", console: Console | None = None
) -> Path:
    """Run or resume a recipe to its last step; returns the checkpoint written.

    Raises:
        ConfigError: recipe, model config or manifest do not fit.
        TrainingError: a loss is not finite; `state.pt` is of a step before.
        CheckpointError: `state.pt` or `warm_start` does not fit the model.
    """
    console = console or Console(stderr=True)
    read_manifest(Path(config.data.validation))  # fail now rather than at the first validation
    trainer = Trainer(config, recipe, torch.device(device))
    for line in trainer.notes:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
    )
    bar = Progress(
        *columns,
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar as progress:
        reading = progress.add_task("reading recordings", total=None)

        def on_file(done: int, total: int) -> None:
            progress.update(reading, completed=done, total=total)

        corpus = Corpus(config.data, trainer.model.sample_rate, on_file, device)
        progress.remove_task(reading)
        if trainer.step < config.steps:
            line = (
                f"{config.output}: steps {trainer.step} to {config.steps}; saved every "
                f"{config.save_every_seconds:g} s, and the same command goes on from there"
            )
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        task = progress.add_task("training", total=config.steps, completed=trainer.step)
        # All steps have the same shapes: worth choosing the fastest kernels for.
        with torch.backends.cudnn.flags(enabled=True, benchmark=True):
            for record in trainer.run(corpus):
                found, before = record.get("validation", {}), trainer.quality_before
                said = list(validation_lines(found, trainer.step, before))
                if "share_learnt" in record:
                    said.append(share_line(record["share_learnt"]))
                if "audio_per_second" in record:
                    words = loss_words(record)
                    progress.update(task, completed=trainer.step, description=words[:100])
                    if not console.is_terminal:
                        step_seconds = config.batch * config.data.crop_seconds
                        said = [progress_line(record, trainer.step, config.steps, step_seconds)]
                for line in said:
                    console.print(line, markup=False, highlight=False, soft_wrap=True)
    for line in (*verdict(trainer.quality_before, trainer.quality), f"wrote {trainer.checkpoint}"):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return trainer.checkpoint
