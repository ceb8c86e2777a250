"""The one family of errors that a user can cause.

    EncodecCliError            exit code 1
    ├── UsageError             exit code 2   contradictory or out-of-range options
    ├── AudioError                           unreadable, empty or non-finite audio
    ├── ContainerError                       `.ecdc` that is foreign, damaged or truncated
    ├── CheckpointError                      weights that are missing, foreign or damaged
    ├── ConfigError                          YAML with an unknown or ill-typed key
    └── OutputError                          target exists, is a folder, cannot be written

Each message is one line that says what is wrong, where, and what to do. The command line
prints it to stderr and leaves with `exit_code`; library users catch `EncodecCliError`.
"""

__all__ = [
    "AudioError",
    "CheckpointError",
    "ConfigError",
    "ContainerError",
    "EncodecCliError",
    "EncodecCliWarning",
    "OutputError",
    "UsageError",
]


class EncodecCliError(Exception):
    """Root of every error raised on purpose by this package."""

    exit_code = 1


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


class OutputError(EncodecCliError):
    """A target that exists already, is a folder, or cannot be written."""
