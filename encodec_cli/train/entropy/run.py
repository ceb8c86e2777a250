"""A code model for an audio model, from recordings to a file:  encodec-cli train-entropy"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from encodec_cli.checkpoints.load import load_model
from encodec_cli.checkpoints.modules import load_module
from encodec_cli.entropy.integer.model import CodeModel
from encodec_cli.entropy.integer.sizes import Sizes
from encodec_cli.errors import CheckpointError, UsageError
from encodec_cli.io.files import atomic_output, check_writable
from encodec_cli.model.codec import Codec
from encodec_cli.train.entropy.codes import CodedRecording, Source, make_codes, trained_codebooks
from encodec_cli.train.entropy.corpus import CodeCorpus, split_held_out
from encodec_cli.train.entropy.judge import coded_bits
from encodec_cli.train.entropy.loop import CodeTrainer, Schedule
from encodec_cli.train.entropy.quantise import code_model_bytes, integer_arrays
from encodec_cli.train.entropy.start import new_network

__all__ = ["CodeTraining", "train_code_model"]


@dataclass(frozen=True)
class CodeTraining:
    """What to train on, and where everything goes.

    `sources` are learnt from, but for one in fifty, which the curve is measured on; `validation`,
    if there is any, has a curve too. `folder` keeps codes, state and log, `target` is written at
    the end.
    """

    model: Path
    sources: Sequence[Source]
    validation: Sequence[Source]
    folder: Path
    target: Path
    device: str = "cpu"
    force: bool = False


def train_code_model(
    training: CodeTraining, schedule: Schedule, *, console: Console | None = None
) -> Path:
    """Run or resume a training to its end; returns the file written.

    Raises:
        CheckpointError: the model cannot be read, or `state.pt` does not fit it.
        UsageError: no recording can be read.
        OutputError: `target` exists and not `force`, or cannot be written.
    """
    console = console or Console(stderr=True)
    check_writable(training.target, force=training.force)
    torch.manual_seed(0)
    codec, module = load_model(training.model), load_module(training.model)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        learnt, held_out = split_held_out(_codes(codec, training, training.sources, progress))
        judged = {"held_out": held_out}
        if training.validation:
            judged["validation"] = list(_codes(codec, training, training.validation, progress))
        corpus = CodeCorpus(learnt, torch.device(training.device))
        quantizer = codec.config.quantizer
        sizes = Sizes(quantizer.bins, tuple(trained_codebooks(codec)), min(64, quantizer.dimension))
        tables = [book.embed for book in module.quantizer.codebooks[: sizes.codebooks]]
        network = new_network(tables, corpus, sizes).to(training.device)
        trainer = CodeTrainer(network, corpus, judged, schedule, training.folder)
        task = progress.add_task("training", total=1)
        for record in trainer.run():
            progress.update(task, completed=schedule.done(trainer.step, trainer.seconds))
            if "bits" in record:
                progress.update(task, description=f"{record['bits']:.2f} bits a code")
            if "held_out" in record:
                console.print(f"step {trainer.step}: {json.dumps(record['held_out'])}")
    _write(trainer, codec, judged, training, console)
    console.print(f"wrote {training.target}")
    return training.target


def _codes(
    codec: Codec, training: CodeTraining, sources: Sequence[Source], progress: Progress
) -> list[CodedRecording]:
    task = progress.add_task("coding recordings", total=len(sources))

    def advance(done: int, total: int) -> None:
        progress.update(task, completed=done, total=total)

    def skipped(why: str) -> None:
        progress.console.print(f"left out: {why}")

    found = list(
        make_codes(codec, sources, training.folder / "codes", progress=advance, skipped=skipped)
    )
    progress.remove_task(task)
    if not found:
        raise UsageError("none of the recordings could be read")
    return found


def _write(
    trainer: CodeTrainer,
    codec: Codec,
    judged: Mapping[str, Sequence[CodedRecording]],
    training: CodeTraining,
    console: Console,
) -> None:
    """The file, with bits per code in its metadata: those of bytes that it made."""
    arrays, sizes = integer_arrays(trainer.result()), trainer.network.sizes
    model = CodeModel(arrays, sizes, codec.sha256 or "")
    metrics = {name: coded_bits(model, some) for name, some in judged.items()}
    metadata = {
        "name": codec.config.name,
        "bits_per_code": json.dumps(metrics, sort_keys=True),
        "trained": json.dumps({"steps": trainer.step, "frames": trainer.corpus.frames}),
    }
    data = code_model_bytes(arrays, sizes, codec.sha256 or "", metadata)
    if training.target.is_file():
        _keep(training.target, model, console)
    with atomic_output(training.target, force=training.force) as file:
        file.write(data)


def _keep(target: Path, model: CodeModel, console: Console) -> None:
    """Give the code model that `model` replaces a name of its own: files may need it."""
    try:
        before = CodeModel.load(target)
    except CheckpointError:
        return  # no code model, so no file needs it
    if before.sha256 == model.sha256:
        return
    kept = target.with_name(f"{target.stem}-{before.sha256[:12]}{target.suffix}")
    shutil.copyfile(target, kept)
    line = f"{kept}: the code model so far, which files coded with it need"
    console.print(line, markup=False, highlight=False, soft_wrap=True)
