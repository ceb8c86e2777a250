"""The residual vector quantizer in numpy: a search for codes, and the sum that they stand for.

A frame's latents are coded as a sum of vectors, one from each codebook. The greedy choice takes
from each codebook the vector nearest to what the ones before left over. The search keeps the N
best sums of each frame from codebook to codebook, so that it may take a vector which leaves more
now and less in the end; with N = 1 it is the greedy choice.

Source: the M-L search of LeBlanc, Bhattacharya, Mahmoud, Cuperman 1993 ("Efficient search and
design procedures for robust multi-stage VQ of LPC parameters for 4 kb/s speech coding").
"""

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from encodec_cli.runtime.scratch import Scratch

__all__ = ["LARGEST", "Prices", "Quantizer"]

_MOST_SCORES = 1 << 20
"""Scores that are held at a time, unless a single frame has more."""
LARGEST = 1e12
"""Latents beyond it are cut off, so that no square overflows."""
_FAR = 1e30

_Floats = NDArray[np.floating[Any]]
_Indices = NDArray[np.intp]


class Prices(Protocol):
    """What the codes of a frame cost beside their errors, in the course of one search.

    Rows are the sums kept, of all frames that are searched together: at first one each.
    """

    def add_to(self, scores: _Floats) -> None:
        """Add to scores `[bins, rows]` what each sum costs with each code of the next codebook."""

    def follow(self, rows: _Indices, codes: _Indices) -> None:
        """From now on the sums are those of `rows`, each continued by one of `codes`."""


class Quantizer:
    """Codebooks ready to be searched and summed up; threads may share one.

    `codebooks` holds what each code adds to the latents, `[bins, D]` each, coarse first.
    """

    def __init__(self, codebooks: Sequence[_Floats]) -> None:
        self.books = [np.asarray(book, dtype=np.float32) for book in codebooks]
        self._most_bins = max(map(len, self.books))
        self._tables: dict[int, _Table] = {}
        self._scratch = Scratch()

    def encode(
        self, latents: _Floats, n_q: int, beams: int, prices: Prices | None = None
    ) -> NDArray[np.uint16]:
        """Codes `[n_q, T]` of latents `[T, D]`, keeping `beams` sums of each frame, 1 to 256.

        A sum's score is half its squared error, and what `prices` add to it.

        Frames do not depend on each other but for rounding: BLAS may round the products of a
        frame differently when more or fewer frames come with it, and that decides between sums
        that are equally near. The same frames always give the same codes. Many frames are done in
        portions, so memory is bounded; with `prices` all at once, so give few.
        """
        for k in range(n_q):  # should two threads make a table at once, they make the same
            if k not in self._tables:
                self._tables[k] = _Table(self.books[k])
        tables = [self._tables[k] for k in range(n_q)]
        if prices is not None:
            return _search(latents, tables, beams, self._scratch, prices).astype(np.uint16)
        portion = max(1, _MOST_SCORES // (beams * self._most_bins))
        codes = np.empty((n_q, len(latents)), dtype=np.uint16)
        for start in range(0, len(latents), portion):
            part = slice(start, start + portion)
            codes[:, part] = _search(latents[part], tables, beams, self._scratch)
        return codes

    def decode(self, codes: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """Latents `[T, D]` of codes `[K, T]`, all of them within their codebooks."""
        out: NDArray[np.float32] = self.books[0][codes[0]]
        for book, indices in zip(self.books[1:], codes[1:], strict=False):
            out += book[indices]
        return out


class _Table:
    """A codebook as a matrix whose product with what is left to code gives the scores.

    Half the squared distance of a vector w of the codebook from a rest r is

        |r - w|^2 / 2 = -w r + |w|^2 / 2 + |r|^2 / 2 = (-w, |w|^2 / 2, 1) (r, 1, |r|^2 / 2)

    `rows` `[groups * members, D + 2]` holds the first factor for each of `bins` codes; rows beyond
    them are farther away than any. `complete` makes the second factor.
    """

    def __init__(self, codebook: _Floats) -> None:
        self.bins, width = codebook.shape
        self.members = 1 << round(math.log2(self.bins) / 2)
        self.groups = -(-self.bins // self.members)
        self.rows = np.zeros((self.groups * self.members, width + 2), dtype=np.float32)
        vectors = self.rows[: self.bins, :width]
        np.negative(codebook, out=vectors)
        self.rows[: self.bins, width] = _half_norms(vectors)
        self.rows[self.bins :, width] = _FAR
        self.rows[:, width + 1] = 1


def _complete(rests: _Floats) -> None:
    """Fill the last two columns of `[R, D + 2]`, see `_Table`."""
    rests[:, -2] = 1
    rests[:, -1] = _half_norms(rests[:, :-2])


def _half_norms(vectors: _Floats) -> _Floats:
    norms: _Floats = np.einsum("ij,ij->i", vectors, vectors)
    norms *= 0.5
    return norms


def _search(
    latents: _Floats,
    tables: Sequence[_Table],
    beams: int,
    scratch: Scratch,
    prices: Prices | None = None,
) -> NDArray[np.intp]:
    """Codes `[K, T]` of latents `[T, D]`, T >= 1, one from each of K tables."""
    frames, kept = len(latents), 1
    rests = scratch.take("rests 0", frames, latents.shape[1] + 2, np.float32)
    finite = np.nan_to_num(np.asarray(latents, dtype=np.float32))
    np.clip(finite, -LARGEST, LARGEST, out=rests[:, :-2])
    _complete(rests)
    path: list[tuple[_Indices, _Indices]] = []
    for k, table in enumerate(tables, start=1):
        keep = 1 if k == len(tables) else min(beams, kept * table.bins)
        scores = scratch.take("scores", len(table.rows), len(rests), np.float32)
        np.matmul(table.rows, rests.T, out=scores)
        if prices is not None:
            prices.add_to(scores[: table.bins])
        beam, code = _least(table, scores, kept, keep, scratch)
        path.append((beam, code))
        if k < len(tables):
            before, shape = rests, (frames * keep, rests.shape[1])
            rests = scratch.take(f"rests {k % 2}", *shape, np.float32)
            vectors = scratch.take("vectors", *shape, np.float32)
            origin = (np.arange(frames)[:, None] * kept + beam).reshape(-1)
            if prices is not None:
                prices.follow(origin, code.reshape(-1))
            np.take(before, origin, axis=0, out=rests, mode="clip")
            np.take(table.rows, code.reshape(-1), axis=0, out=vectors, mode="clip")
            rests += vectors
            _complete(rests)
        kept = keep
    return _trace(path)


def _least(
    table: _Table, scores: _Floats, kept: int, keep: int, scratch: Scratch
) -> tuple[_Indices, _Indices]:
    """The `keep` best continuations of the `kept` sums of each frame, in any order.

    Of scores `[groups members, T kept]`. Returns the sums continued and the codes that continue
    them, both `[T, keep]`.
    """
    count, groups, members = scores.shape[1], table.groups, table.members
    frames = count // kept

    # The best lie in the groups of codes with the smallest minima. Group g has the codes g,
    # g + groups, ...: their minima are those of whole rows, which is fast.
    grouped = scores.reshape(members, groups * count)
    minima = scratch.take("minima", 1, groups * count, np.float32)
    np.minimum.reduce(grouped, axis=0, out=minima[0])
    by_frame = scratch.take("by frame", frames, groups * kept, np.float32)
    by_frame.reshape(frames, groups, kept)[:] = minima.reshape(groups, frames, kept).swapaxes(0, 1)
    group, beam = np.divmod(_smallest(by_frame, min(keep, groups * kept)), kept)

    chosen = group.shape[1]
    column = group * count + np.arange(frames)[:, None] * kept + beam
    inside = scratch.take("inside", members, frames * chosen, np.float32)
    np.take(grouped, column.reshape(-1), axis=1, out=inside, mode="clip")
    candidates = scratch.take("candidates", frames, members * chosen, np.float32)
    candidates.reshape(frames, members, chosen)[:] = inside.reshape(
        members, frames, chosen
    ).swapaxes(0, 1)
    member, which = np.divmod(_smallest(candidates, keep), chosen)
    which += np.arange(frames)[:, None] * chosen
    return beam.reshape(-1)[which], member * groups + group.reshape(-1)[which]


def _smallest(scores: _Floats, count: int) -> _Indices:
    """Indices `[T, count]` of the smallest of `[T, S]`, in any order."""
    if count == 1:
        nearest: _Indices = scores.argmin(axis=1)[:, None]
        return nearest
    # numpy parts numbers several times faster than their indices.
    limit = np.partition(scores, count - 1, axis=1)[:, count - 1 : count]
    flat = np.flatnonzero(scores <= limit)
    if flat.size == len(scores) * count:
        columns: _Indices = flat.reshape(-1, count) % scores.shape[1]
        return columns
    parted: _Indices = np.argpartition(scores, count - 1, axis=1)  # some are equal
    return parted[:, :count]


def _trace(path: list[tuple[_Indices, _Indices]]) -> _Indices:
    """Codes `[K, T]` of the one sum that is left, from (sums, codes) of each codebook."""
    codes = np.empty((len(path), len(path[0][0])), dtype=np.intp)
    frame, at = np.arange(codes.shape[1]), np.zeros(codes.shape[1], dtype=np.intp)
    for k in range(len(path) - 1, -1, -1):
        beam, code = path[k]
        codes[k] = code[frame, at]
        at = beam[frame, at]
    return codes
