"""How commands are mounted: help that folds at any width, hints for options that do not exist."""

import inspect
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand

from encodec_cli.errors import UsageError

__all__ = ["CONTEXT", "add_command"]

CONTEXT: dict[str, Any] = {"help_option_names": ["-h", "--help"]}

_INSTEAD = {
    "--bitrate": "--bandwidth KBPS",
    "--br": "--bandwidth KBPS",
    "--kbps": "--bandwidth KBPS",
    "--rate": "--bandwidth KBPS, or --sample-rate HZ of decode",
    "--samplerate": "--sample-rate HZ, of decode",
    "--ar": "--sample-rate HZ, of decode",
    "--codebooks": "--n-q N",
    "--nq": "--n-q N",
    "--quantizers": "--n-q N",
    "--output": "-o FOLDER, or name OUT after IN",
    "--out": "-o FOLDER, or name OUT after IN",
    "--outdir": "-o FOLDER",
    "--overwrite": "--force",
    "--yes": "--force",
    "--clobber": "--force",
    "--no-clobber": "--skip-existing",
    "--resume": "--skip-existing",
    "--jobs": "--threads N; files run at once, one on each core",
    "--workers": "--threads N; files run at once, one on each core",
    "--silent": "--quiet",
    "--gpu": "--device cuda",
    "--cuda": "--device cuda",
    "--cpu": "--device cpu",
    "--fp16": "--dtype bf16",
    "--half": "--dtype bf16; --half belongs to models convert",
    "--metadata": "--tag KEY=VALUE",
    "--no-metadata": "--no-tags",
    "--rm": "--delete-input",
    "--remove": "--delete-input",
    "--delete": "--delete-input",
    "--hq": "--search N",
    "--quality": "--bandwidth KBPS",
}


class _Command(TyperCommand):
    """A command that knows what others call its options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            # The class moved from click into typer; its name and its attribute stayed.
            option = getattr(error, "option_name", None)
            own = {name for parameter in self.params for name in parameter.opts}
            instead = _INSTEAD.get(str(option), "")
            if type(error).__name__ != "NoSuchOption" or instead.split()[:1] == []:
                raise
            named = instead.split()[0].rstrip(";,")
            if named not in own:
                raise
            raise UsageError(f"{option}: there is no such option; use {instead}") from error


def add_command(app: typer.Typer, function: Callable[..., Any], name: str | None = None) -> None:
    """Mount `function` in `app`; its docstring is the help, each paragraph on one line."""
    paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
    text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    app.command(name, help=text, cls=_Command, context_settings=CONTEXT)(function)
