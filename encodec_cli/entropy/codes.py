"""Frames of codes through a model of their probabilities and the arithmetic coder."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from encodec_cli.entropy.arithmetic import ArithmeticDecoder, ArithmeticEncoder
from encodec_cli.entropy.cdf import stable_cdf

__all__ = ["AT_ONCE", "CodeDecoder", "CodeEncoder", "CodeModel", "Predictor"]


AT_ONCE = 16
"""Frames that an encoder, which knows them all, has predicted in one call."""


class Predictor(Protocol):
    """Probabilities of the frames of one run, one after the other."""

    def __call__(self, previous: NDArray[np.uint16] | None) -> NDArray[np.float32]:
        """Probabilities `[T, K, N]` of T frames, given the codes `[K, T]` of those before each.

        `previous` is None for the first frame of the run (T = 1), and only for that. T is at most
        `AT_ONCE`; how frames are grouped does not change the probabilities.
        """
        ...

    def at_work(self) -> AbstractContextManager[None]:
        """Around calls that follow each other: what each would otherwise set up for itself."""
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
        with self._predict.at_work():
            self._push(codes)
        return self._coder.take()

    def _push(self, codes: NDArray[np.uint16]) -> None:
        start = 0
        while start < codes.shape[1]:
            known = self._previous
            stop = start + 1 if known is None else min(start + AT_ONCE, codes.shape[1])
            if known is not None:
                known = np.concatenate((known, codes[:, start : stop - 1]), axis=1)
            for frame, bounds in enumerate(stable_cdf(self._predict(known)), start):
                for cdf, code in zip(bounds, codes[:, frame].tolist(), strict=True):
                    self._coder.push(int(cdf[code - 1]) if code else 0, int(cdf[code]))
            self._previous = codes[:, stop - 1 : stop]
            start = stop

    def finish(self) -> bytes:
        """The rest of the run."""
        return self._coder.finish()


class CodeDecoder:
    """Decodes one run of frames; see `ArithmeticDecoder` for `next_byte` and what is raised."""

    def __init__(self, predictor: Predictor, next_byte: Callable[[], int]) -> None:
        self._predict = predictor
        self._coder = ArithmeticDecoder(next_byte)
        self._previous: NDArray[np.uint16] | None = None

    def at_work(self) -> AbstractContextManager[None]:
        """Around calls of `pull` that follow each other, which it makes faster."""
        return self._predict.at_work()

    def pull(self) -> NDArray[np.uint16]:
        """The codes `[K]` of the next frame."""
        bounds = stable_cdf(self._predict(self._previous))
        codebooks, bins = bounds.shape[1:]
        # To slice one view takes less than to make a view of each row.
        flat = bounds.reshape(-1).data
        cdfs = [flat[start : start + bins] for start in range(0, codebooks * bins, bins)]
        frame = np.array(self._coder.pull(cdfs), np.uint16)
        self._previous = frame[:, None]
        return frame

    def finish(self) -> None:
        """Check that the run ends here."""
        self._coder.finish()
