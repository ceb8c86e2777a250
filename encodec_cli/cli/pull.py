"""`models pull`: published weights into the cache."""

from typing import Annotated

import typer

from encodec_cli.cli import options
from encodec_cli.cli.completion import complete_published
from encodec_cli.cli.console import say, transfer_bar

__all__ = ["pull"]


def pull(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            autocompletion=complete_published,
            help="As models list says, such as encodec_24khz.",
        ),
    ],
    mirror: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="ENCODEC_CLI_MIRROR",
            help="Download from here instead of the publisher's server.",
        ),
    ] = None,
    offline: Annotated[
        bool,
        typer.Option("--offline", envvar="ENCODEC_CLI_OFFLINE", help="Never use the network."),
    ] = False,
    quiet: options.Quiet = False,
) -> None:
    """Download a published model; from then on --model NAME finds it.

    Models go into the user's cache folder, or into ENCODEC_CLI_CACHE if that is set.

    Example: encodec-cli models pull encodec_24khz
    """
    from encodec_cli.checkpoints.download import is_pulled, published_model
    from encodec_cli.checkpoints.download import pull as pull_model
    from encodec_cli.checkpoints.published import pulled_path

    model = published_model(name)
    if is_pulled(model):
        if not quiet:
            say(f"{name}: is there already: {pulled_path(model)}")
        return
    if not offline:
        say(f"{name}: licence of the weights: {model.licence}")
    with transfer_bar(quiet=quiet) as progress:
        path = pull_model(model, mirror=mirror, offline=offline, progress=progress)
    if not quiet:
        say(f"{name}: {path}")
