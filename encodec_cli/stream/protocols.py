"""What codes and decodes one stream, whatever is inside."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from encodec_cli.audio.samples import first_unusable
from encodec_cli.container.codes import CodeChunk
from encodec_cli.errors import AudioError, UsageError

__all__ = ["Samples", "StreamDecoder", "StreamEncoder", "check_samples"]

Samples = NDArray[np.float32]
"""`[C, n]`: C channels, n samples per channel, linear range [-1, 1]."""


class StreamEncoder(Protocol):
    """Codes one stream; the model's weights are shared, the state is its own."""

    def push(self, samples: Samples) -> list[CodeChunk]:
        """Take samples `[C, n]` at the model's rate, linear range [-1, 1]; give full chunks."""

    def finish(self) -> list[CodeChunk]:
        """End the stream (with `end_padding`): the chunks still to come. Mandatory, last call."""


class StreamDecoder(Protocol):
    """Decodes one stream of chunks.

    Together `push` and `finish` give all that the frames hold, of a whole signal T * hop samples:
    the caller knows the true length and trims what is more, up to a hop and the `end_padding`.
    """

    def push(self, codes: NDArray[np.uint16], scale: float | None = None) -> Samples:
        """Take codes `[K, T]` and the chunk's scale, if any; give the samples now complete.

        `[C, n]`, n from 0.
        """

    def push_lost(self, frames: int) -> Samples:
        """Go on after `frames` lost frames, with zero latents (near silence) in their place."""

    def finish(self) -> Samples:
        """End the stream: the samples still to come. Mandatory, and the last call."""


def check_samples(samples: Samples, channels: int) -> None:
    """Refuse what is not `[channels, n]`, or no sound.

    Raises:
        UsageError: the shape is another one.
        AudioError: NaN, Inf, or a sample beyond 256 times full scale.
    """
    if samples.ndim != 2 or samples.shape[0] != channels:
        raise UsageError(f"samples of shape {samples.shape}: this model codes [{channels}, n]")
    bad = first_unusable(samples, time_axis=1)
    if bad is not None:
        raise AudioError(f"sample {bad[0]} is {bad[1]}; give [-1, 1], or integers")
