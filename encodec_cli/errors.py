"""The one family of errors that a user can cause.

    EncodecCliError            exit code 1
    ├── UsageError             exit code 2   contradictory or out-of-range options
    ├── AudioError                           unreadable, empty or non-finite audio
    ├── ContainerError                       `.ecdc` that is foreign, damaged or truncated
    ├── CheckpointError                      weights that are missing, foreign or damaged
    ├── ConfigError                          YAML with an unknown or ill-typed key
    ├── TrainingError                        losses that are not finite
    └── OutputError                          target exists, is a folder, cannot be written

Each message is one line that says what is wrong, where, and what to do. The command line
prints it to stderr and leaves with `exit_code`; library users catch `EncodecCliError`. Parameters
are named by `parameter`, as Python writes them; the command line shows its options instead.
"""

import re
from collections.abc import Callable
from typing import Self

from encodec_cli.io.text import printable

__all__ = [
    "AudioError",
    "CheckpointError",
    "ConfigError",
    "ContainerError",
    "EncodecCliError",
    "EncodecCliWarning",
    "OutputError",
    "TrainingError",
    "UsageError",
    "parameter",
]

# No file name and no number has these characters.
_PARAMETER = re.compile("\0([^\0\1]*)(?:\1([^\0]*))?\0")


def parameter(name: str, value: object = None) -> str:
    """How a message names a parameter: `n_q`, or with its value, `conceal=True`."""
    return f"\0{name}\0" if value is None else f"\0{name}\1{value}\0"


def _as_python(name: str, value: str | None) -> str:
    return name if value is None else f"{name}={value}"


class EncodecCliError(Exception):
    """Root of every error raised on purpose by this package."""

    exit_code = 1

    def __str__(self) -> str:
        return self.worded(_as_python)

    def worded(self, words: Callable[[str, str | None], str]) -> str:
        """The message with each parameter, of this name and value, as `words` has it.

        On one line: names in files, which messages repeat, may hold anything.
        """
        return printable(_PARAMETER.sub(lambda found: words(found[1], found[2]), str(self.args[0])))

    def about(self, name: object) -> Self:
        """The same error, whose message starts with what it is about, a file's name say."""
        return type(self)(f"{name}: {self.args[0]}")


class EncodecCliWarning(UserWarning):
    """What to know of a result that is there all the same; the command line says it on stderr."""


class UsageError(EncodecCliError):
    """Options that contradict each other or the file they are applied to."""

    exit_code = 2


class AudioError(EncodecCliError):
    """Audio that cannot be read, or that no codec can code (empty, NaN, Inf)."""


class ContainerError(EncodecCliError):
    """An `.ecdc` file that is not one, is damaged, truncated, or not ours to read."""


class CheckpointError(EncodecCliError):
    """A checkpoint that is missing, foreign, damaged or does not fit its config."""


class ConfigError(EncodecCliError):
    """A config with an unknown key, a wrong type or a value out of range."""


class TrainingError(EncodecCliError):
    """A run whose losses are no longer finite numbers."""


class OutputError(EncodecCliError):
    """A target that exists already, is a folder, or cannot be written."""
