"""Which share of a run's work is this process's: `--part 2/8`; no process asks another."""

from dataclasses import dataclass

from encodec_cli.errors import UsageError

__all__ = ["Share"]

_MOST = 100_000


@dataclass(frozen=True)
class Share:
    """Every `of`-th piece of work, beginning with number `index - 1`; `index` is 1 to `of`.

    Raises:
        UsageError: numbers out of range.
    """

    index: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.of <= _MOST:
            raise UsageError(
                f"part {self.index}/{self.of}: give I/N, I from 1 to N, N up to {_MOST}"
            )

    def __str__(self) -> str:
        return f"{self.index}/{self.of}"

    def has(self, number: int) -> bool:
        """Whether the piece of work `number`, from 0, is in it."""
        return number % self.of == self.index - 1
