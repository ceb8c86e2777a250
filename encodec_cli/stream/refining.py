"""An encoder that hears what its latents decode to, and corrects them once.

    samples [n, C] --encoder--> z [T, D] --decoder--> samples --encoder--> what was heard [T, D]

    latents = z + gain * (z - heard)

One pass of an encoder cannot foresee what the decoder makes of its latents. Where that sounds like
other latents than those that were meant, the meant ones are moved by the difference: one step of
the fixed-point iteration z <- z + gain * (encoder(x) - encoder(decoder(z))). Nothing is trained
for it, so it works for every model that codes whole signals, and codes decode as they always did.

Latents come later than from the encoder alone, by what the decoder looks ahead.

Source: analysis by synthesis (Atal and Remde 1982), with the encoder as its own measure. The gains
are measured, see docs/experiments.md.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from encodec_cli.model.codec import Codec
from encodec_cli.runtime.protocol import Rows, Stepper
from encodec_cli.stream.buffer import Buffer
from encodec_cli.stream.grid import Grid

__all__ = ["RefiningStepper"]

_MOST_GAIN = 0.5


def _gain(n_q: int) -> float:
    """Few codebooks follow small corrections badly, so they get less of them."""
    return min(_MOST_GAIN, math.sqrt(n_q) / 8)


@dataclass
class _State:
    """Of one stream."""

    encoder: Any
    decoder: Grid
    hearing: Grid
    latents: Buffer
    """Not yet corrected."""
    samples: int
    """How many came, less those that were heard."""


class RefiningStepper:
    """Corrects what `encoder` gives, which `n_q` codebooks will code."""

    def __init__(self, codec: Codec, encoder: Stepper, block_frames: int, n_q: int) -> None:
        self._config = codec.config
        self._encoder = encoder
        self._decoder = codec.engine.decoder(block_frames)
        self._frames = block_frames
        self._gain = np.float32(_gain(n_q))

    def new_state(self) -> _State:
        dimension, channels = self._config.seanet.dimension, self._config.channels
        samples = self._frames * self._config.hop_length
        return _State(
            encoder=self._encoder.new_state(),
            decoder=Grid(self._decoder, self._frames, dimension, channels),
            hearing=Grid(self._encoder, samples, channels, dimension),
            latents=Buffer(dimension),
            samples=0,
        )

    def step(self, inputs: list[Rows], states: list[_State], last: list[bool]) -> list[Rows]:
        found = self._encoder.step(inputs, [state.encoder for state in states], last)
        return [self._refined(*each) for each in zip(inputs, found, states, last, strict=True)]

    def _refined(self, rows: Rows, latents: Rows, state: _State, last: bool) -> Rows:
        """The latents `[T, D]` that these samples and their latents complete."""
        state.latents.append(latents)
        state.samples += len(rows)
        decoded = state.decoder.push(latents, last=last)
        # The last frame decodes to a whole one, but is heard as long as it was.
        decoded = decoded[: state.samples]
        state.samples -= len(decoded)
        heard = state.hearing.push(decoded, last=last)
        meant = state.latents.take(len(heard))
        return meant + self._gain * (meant - heard)
