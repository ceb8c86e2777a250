"""Write docs/man/encodec-cli.1 from the help of the commands.

    python scripts/make_man.py

Run it after changing a command or an option; a test compares.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from encodec_cli import __version__
from encodec_cli.cli.app import app

__all__ = ["man_page"]

PAGE = Path(__file__).resolve().parent.parent / "docs" / "man" / "encodec-cli.1"
NAME = "encodec-cli"
ENVIRONMENT = {
    "ENCODEC_CLI_MODEL": "The model; as --model.",
    "ENCODEC_CLI_BANDWIDTH": "Rate in kb/s of what is encoded; as --bandwidth.",
    "ENCODEC_CLI_DEVICE": "Where networks run; as --device.",
    "ENCODEC_CLI_THREADS": "CPU threads; as --threads.",
    "NO_COLOR": "If set, nothing is coloured.",
    "ENCODEC_CLI_CACHE": "Folder for pulled models, instead of one in the user's cache.",
    "ENCODEC_CLI_MIRROR": "Address that models pull downloads from; as --mirror.",
    "ENCODEC_CLI_OFFLINE": "If 1, models pull never uses the network; as --offline.",
}
EXIT_STATUS = {
    "0": "All went well.",
    "1": "Some file failed; one line on standard error says which, why, and what to do.",
    "2": "Wrong usage: options that contradict each other or do not exist.",
}
EXAMPLES = {
    "Compress a recording at 3 kb/s, and restore it at its own sample rate:": (
        "encodec-cli encode talk.wav --bandwidth 3",
        "encodec-cli decode talk.ecdc back.wav --sample-rate source",
    ),
    "A folder, going on where it stopped:": (
        "encodec-cli encode --recursive talks -o coded --skip-existing",
    ),
    "Codes for a language model, and back:": (
        "encodec-cli tokens --recursive talks --to webdataset -o shards",
        "encodec-cli decode shards/tokens-00000.tar -o wavs",
    ),
}


def man_page() -> str:
    """The whole page, in man's own markup."""
    root: Any = typer.main.get_command(app)
    lines = [
        f'.TH {NAME.upper()} 1 "" "{NAME} {__version__}"',
        ".SH NAME",
        f"{escaped(NAME)} \\- compress sound with a neural network",
        ".SH SYNOPSIS",
        f".B {escaped(NAME)}",
        ".I COMMAND",
        "[OPTIONS] ...",
        ".SH DESCRIPTION",
        *paragraphs(root.help),
        ".SH COMMANDS",
    ]
    for name, command in commands(root, ()):
        lines += section(name, command)
    lines += [".SH EXIT STATUS", *listed(EXIT_STATUS)]
    lines += [".SH ENVIRONMENT", *listed(ENVIRONMENT), ".SH EXAMPLES"]
    for text, examples in EXAMPLES.items():
        lines += [".PP", escaped(text), ".PP", ".nf", ".RS"]
        lines += [escaped(line) for line in examples]
        lines += [".RE", ".fi"]
    lines += [".SH SEE ALSO", ".BR ffmpeg (1),", ".BR opusenc (1),", ".BR sox (1)"]
    return "\n".join(lines) + "\n"


def commands(group: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Every command that does something, with its full name, in the order of the help."""
    for name, command in group.commands.items():
        if command.hidden:
            continue
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


def section(name: str, command: Any) -> list[str]:
    """A command: how it is called, what it does, its arguments and options."""
    context = command.context_class(command, info_name=name)
    shown = [p for p in command.params if not getattr(p, "hidden", False)]
    arguments = [p for p in shown if p.param_type_name == "argument"]
    words = [argument.make_metavar(context) for argument in arguments]
    lines = [f".SS {escaped(name)}", f".B {escaped(f'{NAME} {name}')}"]
    lines += [escaped(" ".join([*words, "[OPTIONS]"])), *paragraphs(command.help, first=".PP")]
    for argument in arguments:
        if argument.help:
            lines += [".TP", f".I {escaped(argument.make_metavar(context))}"]
            lines += [escaped(argument.help)]
    for option in shown:
        if option.param_type_name != "option" or option.name == "help":
            continue
        names = ", ".join([*option.opts, *option.secondary_opts])
        value = "" if option.is_flag else f" {option.make_metavar(context)}"
        lines += [".TP", f".B {escaped(names + value)}", escaped(option.help or "")]
        default = default_words(option)
        if default:
            lines[-1] += escaped(f" Default: {default}.")
        if option.envvar:
            lines[-1] += escaped(f" Also set by {option.envvar}.")
    return lines


def default_words(option: Any) -> str:
    """What an option is if it is not given; empty where that goes without saying."""
    if isinstance(option.show_default, str):
        return option.show_default
    return "" if option.is_flag or option.default is None else str(option.default)


def paragraphs(text: str | None, *, first: str | None = None) -> list[str]:
    """Help text: a line of markup before each paragraph."""
    lines: list[str] = []
    for number, paragraph in enumerate((text or "").strip().split("\n\n")):
        mark = ".PP" if number else first
        lines += [mark] if mark else []
        lines += [escaped(" ".join(paragraph.split()))]
    return lines


def listed(entries: dict[str, str]) -> list[str]:
    """Terms and what they mean."""
    return [
        line
        for term, text in entries.items()
        for line in (".TP", f".B {escaped(term)}", escaped(text))
    ]


def escaped(text: str) -> str:
    """`text` as man prints it: hyphens that can be copied, no accidental markup."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text.startswith((".", "'")) else text


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(man_page(), encoding="utf-8")
