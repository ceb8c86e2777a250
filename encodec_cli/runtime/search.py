"""The residual vector quantizer in numpy: a search for codes, and their sum.

A frame's latents are coded as a sum of vectors, one from each codebook. The greedy choice takes
from each codebook the vector nearest to what the ones before left over. The search keeps the N
best sums of each frame from codebook to codebook, so that it may take a vector which leaves more
now and less in the end; with N = 1 it is the greedy choice.

Source: the M-L search of LeBlanc, Bhattacharya, Mahmoud, Cuperman 1993 ("Efficient search and
design procedures for robust multi-stage VQ of LPC parameters for 4 kb/s speech coding").
"""

import math
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MOST_BEAMS", "Quantizer"]

MOST_BEAMS = 256
"""Sequences that a search may keep."""

_MOST_SCORES = 1 << 20
_LARGEST = 1e12  # latents beyond it are cut off, so that no square overflows
_FAR = 1e30

_Floats = NDArray[np.float32]
_Indices = NDArray[np.intp]


class Quantizer:
    """Codebooks ready to be searched; threads may share one.

    `codebooks` holds what each code adds to the latents, `[bins, D]` each, coarse first.
    """

    def __init__(self, codebooks: Sequence[NDArray[np.floating[Any]]]) -> None:
        self._tables = [_Table(codebook) for codebook in codebooks]
        self._width = codebooks[0].shape[1]
        self._scratch = _Scratch()

    def encode(
        self, latents: NDArray[np.floating[Any]], n_q: int, beams: int
    ) -> NDArray[np.uint16]:
        """Codes `[n_q, T]` of latents `[T, D]`, keeping `beams` sequences, 1 to `MOST_BEAMS`.

        Many frames are done in portions, whose scratch memory is bounded. Frames do not depend on
        each other, but for rounding: BLAS may round a frame's products differently when there are
        more or fewer of them, which decides where two sums are equally near.
        """
        rows = max(len(table.rows) for table in self._tables[:n_q])
        portion = max(1, _MOST_SCORES // (rows * beams))
        codes = np.empty((n_q, len(latents)), dtype=np.uint16)
        for start in range(0, len(latents), portion):
            part = slice(start, start + portion)
            codes[:, part] = self._search(latents[part], n_q, beams)
        return codes

    def decode(self, codes: NDArray[np.integer[Any]]) -> _Floats:
        """Latents `[T, D]` of codes `[K, T]`, all of them within their codebooks."""
        out = np.zeros((codes.shape[1], self._width), dtype=np.float32)
        for table, indices in zip(self._tables, codes, strict=False):
            out -= table.rows[: table.bins, : self._width][indices]
        return out

    def _search(self, latents: NDArray[np.floating[Any]], n_q: int, beams: int) -> NDArray[np.intp]:
        frames, kept = len(latents), 1
        rests = self._begin(latents)
        path: list[tuple[_Indices, _Indices]] = []
        for k, table in enumerate(self._tables[:n_q], start=1):
            keep = 1 if k == n_q else min(beams, kept * table.bins)
            beam, code = self._nearest(table, rests, kept, keep)
            path.append((beam, code))
            if k < n_q:
                origin = (np.arange(frames)[:, None] * kept + beam).reshape(-1)
                rests = self._subtract(rests, origin, table, code.reshape(-1), k % 2)
            kept = keep
        return _trace(path)

    def _begin(self, latents: NDArray[np.floating[Any]]) -> _Floats:
        """Rows `[T, D + 2]` of what is left to code: see `_Table`."""
        rests = self._scratch.take("rests 0", len(latents), self._width + 2)
        finite = np.nan_to_num(np.asarray(latents, dtype=np.float32))
        np.clip(finite, -_LARGEST, _LARGEST, out=rests[:, : self._width])
        self._complete(rests)
        return rests

    def _complete(self, rests: _Floats) -> None:
        vectors = rests[:, : self._width]
        rests[:, self._width] = 1
        np.einsum("ij,ij->i", vectors, vectors, out=rests[:, self._width + 1])
        rests[:, self._width + 1] *= np.float32(0.5)

    def _subtract(
        self, rests: _Floats, origin: _Indices, table: "_Table", codes: _Indices, number: int
    ) -> _Floats:
        """What the vectors of `codes` leave of the rows `origin` of `rests`."""
        shape = len(origin), self._width + 2
        left, vectors = (
            self._scratch.take(f"rests {number}", *shape),
            self._scratch.take("v", *shape),
        )
        np.take(rests, origin, axis=0, out=left, mode="clip")
        np.take(table.rows, codes, axis=0, out=vectors, mode="clip")
        left += vectors
        self._complete(left)
        return left

    def _nearest(
        self, table: "_Table", rests: _Floats, kept: int, keep: int
    ) -> tuple[_Indices, _Indices]:
        """The `keep` best continuations of each frame's `kept` sequences, in any order.

        Of rests `[T kept, D + 2]`. Returns the sequences continued and the codes that continue
        them, both `[T, keep]`.
        """
        take, count = self._scratch.take, len(rests)
        frames, groups, members = count // kept, table.groups, table.members
        scores = take("scores", len(table.rows), count)
        np.matmul(table.rows, rests.T, out=scores)

        # The best lie in the groups of codes with the smallest minima. Group g has the codes g,
        # g + groups, ...: their minima are those of whole rows, which is fast.
        grouped = scores.reshape(members, groups * count)
        minima = take("minima", groups * count)
        np.minimum.reduce(grouped, axis=0, out=minima)
        by_frame = take("by frame", frames, groups * kept)
        by_frame.reshape(frames, groups, kept)[:] = minima.reshape(groups, frames, kept).transpose(
            1, 0, 2
        )
        chosen = _smallest(by_frame, min(keep, groups * kept))
        group, beam = np.divmod(chosen, kept)

        column = group * count + np.arange(frames)[:, None] * kept + beam
        width = chosen.shape[1]
        inside = take("inside", members, frames * width)
        np.take(grouped, column.reshape(-1), axis=1, out=inside, mode="clip")
        candidates = take("candidates", frames, width * members)
        candidates.reshape(frames, width, members)[:] = inside.reshape(
            members, frames, width
        ).transpose(1, 2, 0)
        which, member = np.divmod(_smallest(candidates, keep), members)
        code = member * groups + np.take_along_axis(group, which, axis=1)
        return np.take_along_axis(beam, which, axis=1), code


class _Table:
    """A codebook as a matrix whose product with what is left to code gives the scores.

    Half the squared distance of a code's vector w from a rest r is

        |r - w|^2 / 2 = -w r + |w|^2 / 2 + |r|^2 / 2 = (-w, |w|^2 / 2, 1) (r, 1, |r|^2 / 2)

    `rows` `[groups * members, D + 2]` holds the first factor of each of `bins` codes, and after
    them rows that are farther than any.
    """

    def __init__(self, codebook: NDArray[np.floating[Any]]) -> None:
        self.bins, width = codebook.shape
        self.members = 1 << round(math.log2(self.bins) / 2)
        self.groups = -(-self.bins // self.members)
        self.rows = np.zeros((self.groups * self.members, width + 2), dtype=np.float32)
        vectors = self.rows[: self.bins, :width]
        np.negative(codebook, out=vectors, casting="same_kind")
        self.rows[: self.bins, width] = np.einsum("ij,ij->i", vectors, vectors) * np.float32(0.5)
        self.rows[self.bins :, width] = _FAR
        self.rows[:, width + 1] = 1


class _Scratch(threading.local):
    """Memory for intermediate results, kept from call to call; each thread has its own."""

    def __init__(self) -> None:
        self._buffers: dict[str, _Floats] = {}

    def take(self, name: str, *shape: int) -> _Floats:
        """Uninitialised memory of that shape; the last user of `name` loses it."""
        size = math.prod(shape)
        buffer = self._buffers.get(name)
        if buffer is None or buffer.size < size:
            buffer = self._buffers[name] = np.empty(size, dtype=np.float32)
        return buffer[:size].reshape(shape)


def _smallest(scores: _Floats, count: int) -> _Indices:
    """Indices `[T, count]` of the smallest of `[T, S]`, in any order."""
    if count == 1:
        nearest: _Indices = scores.argmin(axis=1)[:, None]
        return nearest
    # Where numpy has vector instructions for it, values are parted much faster than indices.
    limit = np.partition(scores, count - 1, axis=1)[:, count - 1 : count]
    flat = np.flatnonzero(scores <= limit)
    if flat.size == len(scores) * count:
        inside: _Indices = flat.reshape(-1, count) % scores.shape[1]
        return inside
    parted: _Indices = np.argpartition(scores, count - 1, axis=1)  # some are equal
    return parted[:, :count]


def _trace(path: list[tuple[_Indices, _Indices]]) -> _Indices:
    """Codes `[K, T]` of the one sequence that is left, from (beams, codes) of each codebook."""
    codes = np.empty((len(path), len(path[0][0])), dtype=np.intp)
    at = np.zeros((codes.shape[1], 1), dtype=np.intp)
    for k in range(len(path) - 1, -1, -1):
        beam, code = path[k]
        codes[k] = np.take_along_axis(code, at, axis=1)[:, 0]
        at = np.take_along_axis(beam, at, axis=1)
    return codes
