"""How strongly bits are weighed, group of chunks by group, so that a file has its rate.

What a group takes too much or too little is the next ones' to make up for. The last one is
searched until the file has the rate.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice, pairwise

from encodec_cli.container.codes import CodeChunk
from encodec_cli.pipeline.target_rate import Coded, RatePlan
from encodec_cli.stream.encoder import ChunkLatents

__all__ = ["chunks_at_rate"]

_NEAR = 0.005
"""Share of a file's bytes that its last group may miss."""
_PASSABLE = 0.04
"""Share of its own bytes that any other group may miss."""
_TOGETHER = 16
"""Chunks of a group: they are searched side by side."""
_FARTHEST = 9.2
"""Of `strength ** 0.8`: a strength of 16."""
_MOST_TRIES = 8

_Search = Callable[[Sequence[ChunkLatents], float], list[CodeChunk]]
_Cost = Callable[[Sequence[CodeChunk]], int]


def chunks_at_rate(coded: Coded, plan: RatePlan, cost: _Cost) -> Iterator[CodeChunk]:
    """The codes of all chunks, in such a way that the file gets the bytes of `plan`.

    `cost` tells the bytes that chunks take in the file.
    """
    search = partial(coded.quantize_priced, plan.coder)
    chunks = len(plan.expected)
    left, expected = plan.budget, float(plan.expected.sum())
    fit = _Fit(plan.codebooks, search, cost)
    groups = -(-chunks // _TOGETHER)
    bounds = [chunks * i // groups for i in range(groups + 1)] if groups else []
    for start, end in pairwise(bounds):
        own = float(plan.expected[start:end].sum())
        wanted = left * own / expected
        miss = _NEAR * plan.budget if end == chunks else _PASSABLE * abs(wanted)
        group = list(islice(coded.latents, end - start))
        if not group:
            return  # the recording was cut meanwhile
        found, size = fit(group, own, wanted, miss)
        left -= size
        expected -= own
        yield from found
    for chunk in coded.latents:  # none, unless the recording grew meanwhile
        yield from search([chunk], 0.0)


class _Fit:
    """Searches groups of chunks with such a strength that they take as many bytes as wanted.

    The logarithm of bytes falls nearly in proportion to `strength ** 0.8`: how fast, and from
    where, is known roughly at first, and better from try to try.
    """

    def __init__(self, codebooks: int, search: _Search, cost: _Cost) -> None:
        self._search, self._cost = search, cost
        self._level = 0.0
        self._slope = 0.24 * math.pow(codebooks, -0.6)  # of the bundled model

    def __call__(
        self, group: Sequence[ChunkLatents], expected: float, wanted: float, miss: float
    ) -> tuple[list[CodeChunk], int]:
        """Codes, and the bytes that they take: as `wanted`, or at most `miss` off, if that can be.

        The plain search is expected to take `expected`.
        """
        aim = math.log(max(wanted, 1) / expected)
        tries: dict[float, float] = {}
        best: tuple[list[CodeChunk], int] | None = None
        for _ in range(_MOST_TRIES):
            x = self._next(tries, aim)
            if x in tries:
                break
            codes = self._search(group, x**1.25)
            size = self._cost(codes)
            tries[x] = math.log(size / expected)
            self._level = tries[x] + self._slope * x
            if best is None or abs(size - wanted) < abs(best[1] - wanted):
                best = codes, size
            if abs(size - wanted) <= miss:
                break
        assert best is not None
        return best

    def _next(self, tries: dict[float, float], aim: float) -> float:
        """Where the logarithm should be `aim`, after what `tries` gave."""
        by_miss = sorted(tries, key=lambda x: abs(tries[x] - aim))
        x, y = (by_miss[0], tries[by_miss[0]]) if tries else (0.0, self._level)
        above = [x for x in by_miss if tries[x] > aim]
        below = [x for x in by_miss if tries[x] <= aim]
        around = above[:1] + below[:1] if above and below else by_miss[:2]
        if len(around) == 2:
            one, other = around
            slope = (tries[one] - tries[other]) / (other - one)
            self._slope = min(max(slope, self._slope / 4), self._slope * 4)
        x += (y - aim) / self._slope
        if above and below:
            start, end = sorted(around)
            x = min(max(x, start + 0.1 * (end - start)), end - 0.1 * (end - start))
        return min(max(x, 0.0), _FARTHEST)
