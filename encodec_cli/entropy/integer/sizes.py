"""Sizes of a code model, and the constants of its arithmetic."""

from dataclasses import dataclass

from encodec_cli.errors import CheckpointError

__all__ = ["ACTIVATION_LIMIT", "EXACT", "OCTAVE", "WEIGHT_LIMIT", "Sizes"]

WEIGHT_LIMIT = 127
"""Weights are whole numbers from -127 to 127."""
ACTIVATION_LIMIT = 1023
"""What goes into a product is a whole number from -1023 to 1023."""
EXACT = 1 << 24
"""Below it float32 holds every whole number, and every order of additions gives the same sum."""
OCTAVE = 64
"""Steps of a logit in which a frequency halves."""

_MOST_PARAMETERS = 8_000_000


@dataclass(frozen=True)
class Sizes:
    """Numbers of what.

    Raises:
        CheckpointError: out of range, or more weights than are ever needed.
    """

    bins: int
    """Codes of a codebook."""
    trained: tuple[int, ...]
    """The numbers of codebooks K it was trained for, rising; the last is all of them."""
    inputs: int = 64
    """Numbers that stand for the codes of a frame."""
    channels: int = 192
    """Numbers that stand for the frames before."""
    hidden: int = 192
    """Numbers between the context and a codebook's logits."""
    outputs: int = 64
    """Numbers of which a logit is a scalar product."""
    dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    """Frames that each block of the context looks back."""

    def __post_init__(self) -> None:
        if not isinstance(self.trained, tuple) or not isinstance(self.dilations, tuple):
            raise CheckpointError("code model: trained and dilations are lists")
        rising = all(a < b for a, b in zip(self.trained, self.trained[1:], strict=False))
        if not self.trained or not rising or not 1 <= self.trained[0] <= self.trained[-1] <= 64:
            raise CheckpointError(f"code model: {self.trained = }: give 1 to 64, rising")
        if not 2 <= self.bins <= 4096:
            raise CheckpointError(f"code model: {self.bins = }: give 2 to 4096")
        for name in ("inputs", "channels", "hidden", "outputs"):
            if not 1 <= getattr(self, name) <= 1024:
                raise CheckpointError(f"code model: {name} {getattr(self, name)}: give 1 to 1024")
        if not 1 <= len(self.dilations) <= 16 or not all(1 <= d <= 1024 for d in self.dilations):
            raise CheckpointError(f"code model: {self.dilations = }: give 1 to 16 of 1 to 1024")
        if self.parameters > _MOST_PARAMETERS:
            raise CheckpointError(
                f"code model: {self.parameters} weights; {_MOST_PARAMETERS} at most"
            )

    @property
    def codebooks(self) -> int:
        return self.trained[-1]

    @property
    def parameters(self) -> int:
        """Weights without biases."""
        context = self.inputs * self.channels + 3 * len(self.dilations) * self.channels**2
        codebook = self.hidden * (self.channels + self.inputs + self.outputs)
        codebook += self.bins * (self.inputs + self.outputs)
        return context + self.codebooks * codebook

    def tag(self, codebooks: int) -> int:
        """Which of `trained` stands for a run of so many codebooks: the next above.

        Raises:
            CheckpointError: more codebooks than the model knows.
        """
        for i, k in enumerate(self.trained):
            if codebooks <= k:
                return i
        raise CheckpointError(f"code model: has {self.codebooks} codebooks, not {codebooks}")
