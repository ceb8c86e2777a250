"""Codes in memory, and random windows of them."""

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from encodec_cli.errors import UsageError
from encodec_cli.train.entropy.codes import CodedRecording

__all__ = ["CodeCorpus", "split_held_out"]

_HELD_OUT = 1 / 50


def split_held_out(
    recordings: Iterable[CodedRecording],
) -> tuple[list[CodedRecording], list[CodedRecording]]:
    """Recordings to learn from, and about one in fifty to judge by: always the same ones.

    Of few recordings it is one, of a single one none.
    """
    ranked = sorted((_rank(recording), i, recording) for i, recording in enumerate(recordings))
    few = int(len(ranked) > 1)
    held_out = max(few, sum(rank < _HELD_OUT for rank, _, _ in ranked))
    found = [recording for _, _, recording in ranked]
    return found[held_out:], found[:held_out]


def _rank(recording: CodedRecording) -> float:
    """0 to 1, of the name alone, so that more recordings move none from one part to the other."""
    digest = hashlib.sha256(recording.name.encode()).digest()
    return int.from_bytes(digest[:6], "big") / (1 << 48)


class CodeCorpus:
    """Draws windows of frames, each frame equally often.

    Raises:
        UsageError: no recordings.
    """

    def __init__(self, recordings: Sequence[CodedRecording], device: torch.device) -> None:
        if not recordings:
            raise UsageError("no recordings to learn codes from")
        frames = np.array([r.chunks.sum() for r in recordings])
        self._ends = np.cumsum(frames)
        self._starts = self._ends - frames
        self._device = device
        self._codes = {
            k: torch.from_numpy(
                np.concatenate([r.codes[k] for r in recordings], axis=1).astype(np.int16)
            ).to(device)
            for k in recordings[0].codes
        }

    @property
    def frames(self) -> int:
        return int(self._ends[-1])

    def all_codes(self, codebooks: int) -> Tensor:
        """Codes `[K, T]` of all recordings, int16."""
        return self._codes[codebooks]

    def windows(
        self, codebooks: int, count: int, frames: int, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Codes `[K, count, frames]` (int64), and `[count, frames]`: 1, 0 beyond a recording."""
        at = rng.integers(0, self.frames, count)
        recording = np.searchsorted(self._ends, at, side="right")
        start, end = self._starts[recording], self._ends[recording]
        at = np.maximum(start, np.minimum(at, end - frames))[:, None] + np.arange(frames)
        inside = torch.from_numpy((at < end[:, None]).astype(np.float32)).to(self._device)
        index = torch.from_numpy(np.minimum(at, end[:, None] - 1)).to(self._device)
        codes = self._codes[codebooks][:, index.flatten()].long()
        return codes.view(codebooks, count, frames), inside
