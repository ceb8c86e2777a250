"""`models list`, `models show`, `models convert`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from encodec_cli.cli import options
from encodec_cli.cli.console import output, print_json, printable, say
from encodec_cli.cli.tables import facts_table, print_facts
from encodec_cli.resources import DEFAULT_MODEL

if TYPE_CHECKING:
    from encodec_cli.model_file import ModelCard

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="List, describe and convert models.")


@app.command("list")
def list_models(json: options.Json = False) -> None:
    """List the bundled models."""
    from encodec_cli.model_file import bundled_models, find_model, read_card

    cards = [read_card(find_model(name)) for name in bundled_models()]
    if json:
        for card in cards:
            print_json(_summary(card))
        return
    table = Table(box=None)
    for heading in ("model", "rate", "channels", "kb/s", "size", "licence"):
        table.add_column(heading)
    for card in cards:
        row = _summary(card)
        table.add_row(
            printable(card.name) + (" (default)" if card.name == DEFAULT_MODEL else ""),
            f"{row['sample_rate']} Hz",
            str(row["channels"]),
            ", ".join(f"{kbps:g}" for kbps in row["bandwidths"]),
            f"{row['bytes'] / 1e6:.1f} MB",
            printable(card.licence),
        )
    output().print(table)


@app.command()
def show(
    model: Annotated[str, typer.Argument(help="A bundled model's name or a path.")] = DEFAULT_MODEL,
    json: options.Json = False,
) -> None:
    """Describe a model: rates, size, training, quality, weights' SHA-256."""
    from encodec_cli.model_file import find_model, is_torch_file, read_card

    path = find_model(model)
    if is_torch_file(path):
        from encodec_cli.convert import meta_card

        card = meta_card(path)
    else:
        card = read_card(path)
    row = _summary(card)
    if json:
        print_json(row)
        return
    table = facts_table()
    for name, value in row.items():
        if name != "metrics":
            table.add_row(name.replace("_", " "), _words(value))
    for name, value in card.metrics.items():
        table.add_row(printable(name), _words(value))
    print_facts(card.name, table)


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Meta's .th, or one of ours.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="A .safetensors file.")],
    half: Annotated[bool, typer.Option("--half", help="fp16: half the size.")] = False,
    licence: Annotated[
        str | None, typer.Option(help="Licence to state. [MIT for Meta's EnCodec weights]")
    ] = None,
    force: options.Force = False,
) -> None:
    """Write a checkpoint in our format: one safe .safetensors file."""
    from encodec_cli.checkpoint import convert_checkpoint

    card = convert_checkpoint(source, target, half=half, licence=licence, force=force)
    say(f"{source} -> {target}: {card.name}, {card.parameters:,} numbers, {card.dtype}")


def _summary(card: "ModelCard") -> dict[str, Any]:
    from encodec_cli.model_file import file_sha256

    config = card.config
    return {
        "name": card.name,
        "path": str(card.path),
        "sha256": card.identity or file_sha256(card.path),
        "bytes": card.path.stat().st_size,
        "parameters": card.parameters,
        "dtype": card.dtype,
        "sample_rate": config.sample_rate,
        "channels": config.channels,
        "frame_rate": float(config.frame_rate),
        "codebooks": config.quantizer.n_q,
        "bins": config.quantizer.bins,
        "bandwidths": list(config.target_bandwidths),
        "causal": config.seanet.causal,
        "segment_seconds": config.segment_seconds,
        "licence": card.licence,
        "training_data": card.training_data,
        "metrics": card.metrics,
    }


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_words(v)}" for k, v in value.items())
    if isinstance(value, list):
        return ", ".join(_words(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else printable(str(value))
