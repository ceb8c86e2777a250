"""`models list`, `models show`, `models convert`; `models pull` is in a file of its own."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from encodec_cli.cli import options
from encodec_cli.cli.commands import CONTEXT, add_command
from encodec_cli.cli.completion import complete_models
from encodec_cli.cli.console import count, print_json, printable, say, warn
from encodec_cli.cli.pull import pull
from encodec_cli.cli.tables import channels_name, facts_table, print_facts, print_table
from encodec_cli.cli.wording import assumption
from encodec_cli.config.bundled import DEFAULT_MODEL
from encodec_cli.errors import UsageError

if TYPE_CHECKING:
    from encodec_cli.checkpoints.card import ModelCard
    from encodec_cli.checkpoints.published import PublishedModel

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    context_settings=CONTEXT,
    help="List, describe, convert and download models.",
)


class Target(StrEnum):
    ours = "ours"
    hf = "hf"
    meta = "meta"


def list_models(json: options.Json = False) -> None:
    """List the bundled models, and the published ones that are or can be pulled.

    Example: encodec-cli models list
    """
    from encodec_cli.checkpoints.card import bundled_models, find_model, read_card
    from encodec_cli.checkpoints.published import PUBLISHED

    cards = [read_card(find_model(name)) for name in bundled_models()]
    published = [_published(model) for model in PUBLISHED.values()]
    if json:
        for card in cards:
            print_json({**_summary(card), "state": "bundled"})
        for row in published:
            print_json(row)
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("model", "rate", "channels", "kb/s", "size", "state", "licence"):
        table.add_column(heading, no_wrap=heading == "model")
    for card in cards:
        row = _summary(card)
        table.add_row(
            printable(card.name),
            f"{row['sample_rate']} Hz",
            str(row["channels"]),
            ", ".join(f"{kbps:g}" for kbps in row["bandwidths"]),
            f"{row['bytes'] / 1e6:.1f} MB",
            "default" if card.name == DEFAULT_MODEL else "bundled",
            printable(card.licence),
        )
    for row in published:
        bandwidths = ", ".join(f"{kbps:g}" for kbps in row["bandwidths"])
        table.add_row(
            row["name"],
            f"{row['sample_rate']} Hz" if row["sample_rate"] else "",
            str(row["channels"] or ""),
            bandwidths or "language model",
            f"{row['bytes'] / 1e6:.1f} MB" if row["bytes"] else "",
            row["state"] if row["path"] else "to pull",
            row["licence"].split(" (")[0],  # `models pull` prints it in full
        )
    print_table(table)
    say("encodec-cli models pull NAME downloads a model, and prints its licence.")


def show(
    model: Annotated[
        str,
        typer.Argument(help="A bundled model's name or a path.", autocompletion=complete_models),
    ] = DEFAULT_MODEL,
    config: options.ModelConfig = None,
    json: options.Json = False,
) -> None:
    """Describe a model: rates, size, training, quality, weights' SHA-256.

    Example: encodec-cli models show run/model.safetensors
    """
    from encodec_cli.checkpoints.card import find_model, read_card
    from encodec_cli.checkpoints.foreign.identify import identify, refuse_config

    path = find_model(model)
    layout = identify(path)
    refuse_config(path, layout, config)
    if layout == "ours":
        card = read_card(path)
    else:
        from encodec_cli.checkpoints.foreign.foreign import read_foreign
        from encodec_cli.checkpoints.foreign.told import read_told

        card = read_foreign(path, layout, read_told(config)).card
    row = _summary(card)
    if json:
        print_json(row)
        return
    table = facts_table()
    for name, text in {**_facts(row), **_flat(card.metrics)}.items():
        table.add_row(printable(name), printable(text))
    print_facts(card.name, table)


def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="IN",
            autocompletion=complete_models,
            help="Ours, Meta's .th, Hugging Face's folder, or audiocraft's .bin.",
        ),
    ],
    target: Annotated[
        Path, typer.Argument(metavar="OUT", help="A .safetensors file; for hf, a folder.")
    ],
    to: Annotated[
        Target,
        typer.Option("--to", help="ours; hf, for transformers; meta, for Meta's encodec package."),
    ] = Target.ours,
    half: Annotated[bool, typer.Option("--half", help="fp16: half the size.")] = False,
    licence: Annotated[
        str | None,
        typer.Option(
            help="Licence to state; IN's, or MIT for Meta's EnCodec weights, unless given."
        ),
    ] = None,
    config: options.ModelConfig = None,
    force: options.Force = False,
) -> None:
    """Write a checkpoint in our format, one safe .safetensors file, or in another program's.

    Example: encodec-cli models convert encodec_24khz.th encodec_24khz.safetensors

    Example: encodec-cli models convert model.safetensors folder --to hf
    """
    from encodec_cli.checkpoints.modules import convert_checkpoint, export_checkpoint

    if to is Target.ours:
        card = convert_checkpoint(
            source, target, half=half, licence=licence, config=config, force=force
        )
    elif half or licence is not None:
        raise UsageError("--half and --licence: only our format has them; leave out --to")
    else:
        kind: Literal["hf", "meta"] = "hf" if to is Target.hf else "meta"
        card = export_checkpoint(source, target, to=kind, config=config, force=force)
    if card.assumed is not None:
        warn(assumption(str(source), card.assumed))
    dtype = card.dtype if to is Target.ours else "F32"
    say(f"{source} -> {target}: {card.name}, {card.parameters:,} numbers, {dtype}")


def _published(model: "PublishedModel") -> dict[str, Any]:
    """What can be said of a published model without reading its weights."""
    from encodec_cli.checkpoints.published import pulled_path
    from encodec_cli.config.bundled import configs_folder
    from encodec_cli.config.codec import load_codec_config

    path = pulled_path(model)
    config = None
    if model.config is not None:
        config = load_codec_config(configs_folder() / f"{model.config}.yaml")
    files = [path] if path.is_file() else list(path.glob("*"))
    return {
        "name": model.name,
        "state": "pulled" if path.exists() else "not pulled",
        "path": str(path) if path.exists() else None,
        "bytes": sum(file.stat().st_size for file in files) or None,
        "sample_rate": config and config.sample_rate,
        "channels": config and config.channels,
        "bandwidths": list(config.target_bandwidths) if config else [],
        "licence": model.licence,
    }


def _summary(card: "ModelCard") -> dict[str, Any]:
    from encodec_cli.checkpoints.card import file_sha256
    from encodec_cli.config.timing import timing_ms

    config = card.config
    sha256 = card.identity or file_sha256(card.path)
    return {
        "name": card.name,
        "path": str(card.path),
        "sha256": sha256,
        "code_model": _code_model(card.path, sha256),
        "bytes": card.bytes,
        "parameters": card.parameters,
        "dtype": card.dtype,
        "sample_rate": config.sample_rate,
        "channels": config.channels,
        "frame_rate": float(config.frame_rate),
        "codebooks": config.quantizer.n_q,
        "bins": config.quantizer.bins,
        "bandwidths": list(config.target_bandwidths),
        "causal": config.seanet.causal,
        "level_db": config.level_db,
        "segment_seconds": config.segment_seconds,
        "lstm_layers": config.decoder.lstm,
        "assumed": card.assumed,
        **timing_ms(config),
        "licence": card.licence,
        "training_data": card.training_data,
        "metrics": card.metrics,
    }


def _facts(row: dict[str, Any]) -> dict[str, str]:
    """`_summary` in words."""
    segment, level_db = row["segment_seconds"], row["level_db"]
    pieces = "the whole signal" if segment is None else f"segments of {segment:g} s"
    if row["causal"]:
        pieces += ", decoder looks ahead" if row.get("decoder_lookahead_ms") else ", causal"
    return {
        "file": row["path"],
        "SHA-256": row["sha256"],
        "size": f"{row['bytes']:,} bytes, {row['parameters']:,} numbers in {row['dtype']}",
        "audio": f"{row['sample_rate']} Hz, {channels_name(row['channels'])}",
        "codes": (
            f"{count(row['codebooks'], 'codebook')} of {row['bins']}, "
            f"{row['frame_rate']:g} frames/s"
        ),
        "trained for": ", ".join(f"{kbps:g}" for kbps in row["bandwidths"]) + " kb/s",
        "codes at once": pieces,
        **({"assumed": f"{row['assumed']} (--config)"} if row["assumed"] else {}),
        "code model": _code_model_words(row["code_model"]),
        **({} if level_db is None else {"level": f"every second at {level_db:g} dBFS, and back"}),
        "latency": _latency(row),
        "pre-roll": _pre_roll(row),
        "licence": row["licence"],
        "trained on": row["training_data"],
    }


def _code_model(model_file: Path, sha256: str) -> dict[str, Any] | None:
    """The code model for an audio model's codes: beside it, or bundled."""
    from encodec_cli.container.coders import describe_code_model

    return describe_code_model(model_file, sha256)


def _code_model_words(found: dict[str, Any] | None) -> str:
    if found is None:
        return "none; encodec-cli train-entropy makes one"
    books = count(found["codebooks"], "codebook")
    return f"{found['path']}, {found['bytes']:,} bytes, {books}, {found['sha256'][:16]}..."


def _latency(row: dict[str, Any]) -> str:
    if row["segment_seconds"] is not None:
        return f"{row['latency_ms']:g} ms, one segment"
    ahead = row["encoder_lookahead_ms"] + row["decoder_lookahead_ms"]
    parts = f"one frame and {ahead:.1f} ms look-ahead" if ahead else "one frame"
    return (
        f"{row['latency_ms']:.1f} ms at least ({parts}); "
        f"{row['block_ms'] + ahead:.0f} ms unless --latency says less"
    )


def _pre_roll(row: dict[str, Any]) -> str:
    if row["segment_seconds"] is not None:
        return "two segments before --start"
    frames = f"{row['decoder_history_ms']:.0f} ms before --start"
    if row["level_db"] is not None:
        frames += ", and a second for its level"
    if row["lstm_layers"]:
        return f"{frames} for the convolutions, 1 to 64 s for the LSTM, until it agrees"
    return frames


def _flat(metrics: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested metrics as one line of numbers for each innermost group."""
    lines: dict[str, str] = {}
    numbers: dict[str, str] = {}
    for name, value in metrics.items():
        if isinstance(value, dict):
            lines |= _flat(value, f"{prefix}{name} ")
        else:
            numbers[name] = f"{value:g}" if isinstance(value, float) else str(value)
    if prefix and numbers:
        return {prefix: ", ".join(f"{k} {v}" for k, v in numbers.items()), **lines}
    return {k.replace("_", " "): v for k, v in numbers.items()} | lines


add_command(app, pull)
add_command(app, list_models, "list")
add_command(app, show)
add_command(app, convert)
