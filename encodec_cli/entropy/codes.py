"""Frames of codes through a model of their probabilities and the arithmetic coder."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from encodec_cli.entropy.arithmetic import ArithmeticDecoder, ArithmeticEncoder
from encodec_cli.entropy.cdf import stable_cdf

__all__ = ["CodeDecoder", "CodeEncoder", "CodeModel", "Predictor"]


class Predictor(Protocol):
    """Probabilities of the frames of one run, one after the other."""

    def __call__(self, previous: NDArray[np.uint16] | None) -> NDArray[np.float32]:
        """Probabilities `[K, N]` of the next frame's codes, given those `[K]` of the one before.

        `previous` is None for the first frame, and only for that.
        """
        ...


class CodeModel(Protocol):
    """What knows how probable codes are."""

    def predictor(self, codebooks: int) -> Predictor:
        """A predictor for a new run of frames of `codebooks` codes."""
        ...


class CodeEncoder:
    """Codes one run of frames; `finish` ends it on a byte."""

    def __init__(self, predictor: Predictor) -> None:
        self._predict = predictor
        self._coder = ArithmeticEncoder()
        self._previous: NDArray[np.uint16] | None = None

    def push(self, codes: NDArray[np.uint16]) -> bytes:
        """Code frames `[K, T]`; returns the bytes that are complete.

        Raises:
            ContainerError: see `ArithmeticEncoder.push`.
        """
        for frame in codes.T:
            bounds = stable_cdf(self._predict(self._previous))
            for cdf, code in zip(bounds, frame.tolist(), strict=True):
                self._coder.push(cdf[code - 1] if code else 0, cdf[code])
            self._previous = frame
        return self._coder.take()

    def finish(self) -> bytes:
        """The rest of the run."""
        return self._coder.finish()


class CodeDecoder:
    """Decodes one run of frames; see `ArithmeticDecoder` for `next_byte` and what is raised."""

    def __init__(self, predictor: Predictor, next_byte: Callable[[], int]) -> None:
        self._predict = predictor
        self._coder = ArithmeticDecoder(next_byte)
        self._previous: NDArray[np.uint16] | None = None

    def pull(self) -> NDArray[np.uint16]:
        """The codes `[K]` of the next frame."""
        bounds = stable_cdf(self._predict(self._previous))
        self._previous = np.array([self._coder.pull(cdf) for cdf in bounds], np.uint16)
        return self._previous

    def finish(self) -> None:
        """Check that the run ends here."""
        self._coder.finish()
