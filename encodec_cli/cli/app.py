"""The Typer app: commands are mounted here, each group lives in its own file."""

from functools import cache
from typing import Annotated, Any

import typer

from encodec_cli import __version__
from encodec_cli.cli import (
    decode,
    doctor,
    encode,
    evaluate,
    info,
    models,
    peel,
    report,
    roundtrip,
    tokens,
    training,
    verify,
)
from encodec_cli.cli.commands import CONTEXT, add_command

__all__ = ["app", "run_app"]

app = typer.Typer(
    name="encodec-cli",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Compress sound with a neural network: SEANet + RVQ, `.ecdc` files.",
    epilog="Exit codes: 0 all good, 1 some file failed, 2 usage.",
    context_settings=CONTEXT,
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"encodec-cli {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", callback=_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    pass


def help_(
    context: typer.Context,
    command: Annotated[list[str] | None, typer.Argument(metavar="[COMMAND]")] = None,
) -> None:
    """Show the help of a command.

    Example: encodec-cli help models convert
    """
    root = context.find_root().command
    root.main(args=[*(command or []), "--help"], prog_name="encodec-cli")


for _function in (
    *(encode.encode, decode.decode, roundtrip.roundtrip, peel.peel, info.info, verify.verify),
    *(tokens.tokens, evaluate.evaluate, report.report, training.train),
):
    add_command(app, _function)
add_command(app, training.train_entropy, "train-entropy")
add_command(app, doctor.doctor)
app.add_typer(models.app, name="models")
add_command(app, help_, "help")


def run_app() -> Any:
    """Run the command that the arguments name."""
    return _command_of_app()(prog_name="encodec-cli")


@cache
def _command_of_app() -> Any:
    """All commands with their options; to make them takes longer than a short command."""
    return typer.main.get_command(app)
