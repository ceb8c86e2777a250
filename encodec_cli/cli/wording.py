"""Errors of the library in the words of the command line."""

from encodec_cli.errors import EncodecCliError

__all__ = ["assumption", "in_options"]

_OPTIONS = {"latency_ms": "--latency"}
"""Options that are not named like their parameters."""


def in_options(error: EncodecCliError) -> str:
    """The message of `error` with options in place of parameters: `--start 1.5`, `--force`."""
    return error.worded(_option)


def assumption(model: str, assumed: str) -> str:
    """What was `assumed` of the model named `model`, and how to say otherwise."""
    return f"{model}: its weights do not tell, so this is assumed: {assumed}; --config says others"


def _option(name: str, value: str | None) -> str:
    option = _OPTIONS.get(name, f"--{name.replace('_', '-')}")
    return option if value in (None, "True") else f"{option} {value}"
