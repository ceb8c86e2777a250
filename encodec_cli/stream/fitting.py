"""An encoder that fits what it codes to the recording, by steps through the decoder.

    samples --encoder, refined--> latents --a few steps--> latents --search--> codes
                                            ^          |
                           gradient, its sign     latents, or those of their codes --> decoder
                                            |                                             |
                                            '-- distance from the samples <---------------'

One pass of an encoder cannot foresee what a decoder makes of its latents; gradients tell. Each step
moves every latent by the same amount, against the sign of its gradient, and each step is smaller
than the one before. Where codebooks are few, it is their errors that are heard, so the gradient is
that at the codes: latents move until other codes are nearer. The decoder, the codebooks and the
format stay as they are. Each block is fitted after those before it, with what the decoder will have
of their codes.

Source: analysis by synthesis, as in speech coders since Atal and Remde 1982 ("A new model of LPC
excitation for producing natural-sounding speech at low bit rates"), here by gradients through the
decoder (Campos et al. 2019, "Content adaptive optimization for neural image compression"). What was
tried is in docs/experiments.md.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from encodec_cli.config.timing import decoder_history, decoder_lookahead
from encodec_cli.fitting.distance import Distance
from encodec_cli.model.codec import Codec
from encodec_cli.runtime.protocol import Rows, Stepper
from encodec_cli.stream.buffer import Buffer

__all__ = ["FittingStepper"]

_STEP = 0.08
"""The first step of a latent, over the deviation of the block's latents."""
_PAST_BEAMS = 2
"""Sequences in the search for what the decoder will have had, of which it needs little."""
_ALL_CODED, _NONE_CODED = 4, 12
"""Codebooks up to which gradients are taken at the codes, and from which on at the latents."""
_MOST_BEAMS, _MOST_SEARCHED = 8, 32
"""Sequences in the search before a step, and those times the codebooks, at most."""
_SILENCE = 1e-3
"""RMS of a block at the model's level, below which it is left as it is."""


@dataclass
class _State:
    """Of one stream: what the encoder keeps, and what the decoder will have had before a block."""

    encoder: Any
    samples: Buffer
    latents: Buffer
    """Not yet fitted, as are the samples."""
    past_latents: Rows
    past_samples: Rows


class FittingStepper:
    """Fits what `encoder` gives for `n_q` codebooks, by so many `steps`."""

    def __init__(
        self, codec: Codec, encoder: Stepper, block_frames: int, n_q: int, steps: int
    ) -> None:
        config = codec.config
        self._config = config
        self._encoder = encoder
        self._decoder = codec.engine.traced_decoder()
        self._quantizer = codec.engine.quantizer()
        self._frames, self._n_q, self._steps = block_frames, n_q, steps
        share = (_NONE_CODED - n_q) / (_NONE_CODED - _ALL_CODED)
        self._share_coded = np.float32(min(1.0, max(0.0, share)))
        self._beams = min(_MOST_BEAMS, max(1, _MOST_SEARCHED // n_q))
        self._hop = config.hop_length
        self._ahead = decoder_lookahead(config.decoder)
        self._history = decoder_history(config.decoder)

    def new_state(self) -> _State:
        dimension, channels = self._config.seanet.dimension, self._config.channels
        return _State(
            encoder=self._encoder.new_state(),
            samples=Buffer(channels),
            latents=Buffer(dimension),
            past_latents=np.zeros((0, dimension), np.float32),
            past_samples=np.zeros((0, channels), np.float32),
        )

    def step(self, inputs: list[Rows], states: list[_State], last: list[bool]) -> list[Rows]:
        found = self._encoder.step(inputs, [state.encoder for state in states], last)
        return [self._pushed(*each) for each in zip(inputs, found, states, last, strict=True)]

    def _pushed(self, rows: Rows, latents: Rows, state: _State, last: bool) -> Rows:
        """The fitted latents `[T, D]` that these samples and their latents complete."""
        state.samples.append(rows)
        state.latents.append(latents)
        # Latents may come later than their samples, and not in the blocks that they belong in.
        pieces = []
        while state.latents.rows >= self._frames or (last and state.latents.rows):
            block = state.latents.take(self._frames)
            pieces.append(self._next(block, state, last and not state.latents.rows))
        return np.concatenate(pieces) if pieces else latents[:0]

    def _next(self, latents: Rows, state: _State, end: bool) -> Rows:
        """The next block's latents, fitted unless it is quiet."""
        count = len(latents) * self._hop
        samples = state.samples.take(count)
        samples = np.pad(samples, ((0, count - len(samples)), (0, 0)))
        if float(np.sqrt(np.square(samples).mean())) > _SILENCE:
            latents = self._fitted(latents, samples, state, end)
        kept = self._history
        past = latents[-kept:] if kept else latents[:0]
        if len(past) and not end:
            past = self._quantizer.decode(self._quantizer.encode(past, self._n_q, _PAST_BEAMS))
        both = (
            np.concatenate((state.past_latents, past)),
            np.concatenate((state.past_samples, samples)),
        )
        first = max(0, len(both[0]) - kept)
        state.past_latents = both[0][first:]
        state.past_samples = both[1][len(both[1]) - len(state.past_latents) * self._hop :]
        return latents

    def _fitted(self, latents: Rows, samples: Rows, state: _State, end: bool) -> Rows:
        past = state.past_latents
        target = np.concatenate((state.past_samples, samples))
        # What the decoder gives of the block now, and of the one before only now.
        first = max(0, len(past) * self._hop - self._ahead)
        stop = len(target) - (0 if end else self._ahead)
        if stop <= first:
            return latents
        distance = Distance(target[first:stop], self._config.sample_rate)
        step = _STEP * float(latents.std())
        for i in range(self._steps):
            heard = self._heard(latents)
            decoded, back = self._decoder.traced(np.concatenate((past, heard)), first)
            gradient = np.zeros_like(decoded)
            # What overflows in a decoder of any weights leads nowhere.
            with np.errstate(over="ignore", invalid="ignore"):
                _, gradient[: stop - first] = distance(decoded[: stop - first])
                towards = np.sign(np.nan_to_num(back(gradient)[len(past) :]))
            latents = latents - np.float32(step * (1 - i / self._steps)) * towards
        return latents

    def _heard(self, latents: Rows) -> Rows:
        """What a step decodes: `latents`, those of their codes, or some between."""
        if not self._share_coded:
            return latents
        coded = self._quantizer.decode(self._quantizer.encode(latents, self._n_q, self._beams))
        return latents + self._share_coded * (coded - latents)
