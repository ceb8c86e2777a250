"""The Typer app: commands are mounted here, each group lives in its own file."""

from typing import Annotated

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

__all__ = ["app"]

app = typer.Typer(
    name="encodec-cli",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Compress sound with a neural network: SEANet + RVQ, `.ecdc` files.",
    epilog="Exit codes: 0 all good, 1 some file failed, 2 usage.",
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"encodec-cli {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


for _command in (encode.encode, decode.decode, roundtrip.roundtrip, peel.peel, info.info):
    app.command()(_command)
app.command()(verify.verify)
app.command()(tokens.tokens)
app.command()(evaluate.evaluate)
app.command()(report.report)
app.command()(training.train)
app.command("train-entropy")(training.train_entropy)
app.command()(doctor.doctor)
app.add_typer(models.app, name="models")
