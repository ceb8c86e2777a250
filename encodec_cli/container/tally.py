"""Holding the sequence of chunks against the geometry that the header promises."""

from encodec_cli.container.codes import CodeChunk
from encodec_cli.container.header import Header
from encodec_cli.errors import ContainerError

__all__ = ["ChunkTally"]


class ChunkTally:
    """Counts chunks in file order and holds them against the geometry of the header.

    Attributes:
        count: chunks seen.
        frames: their frames.
    """

    def __init__(self, header: Header) -> None:
        self._header = header
        self._first_short: int | None = None
        self.count = 0
        self.frames = 0

    def jump(self, index: int, num_samples: int) -> None:
        """Pretend that chunks 0 .. `index` - 1 went by intact."""
        self.count = index
        self.frames = self._header.frames_before(index, num_samples)
        self._first_short = None

    def check(self, chunk: CodeChunk) -> None:
        """Whether `chunk` is of the kind that the header promises.

        Raises:
            ContainerError: wrong number of codebooks, or a scale too many or missing.
        """
        if chunk.codes.shape[0] != self._header.codebooks:
            raise ContainerError(
                f"chunk {self.count} has {chunk.codes.shape[0]} codebooks, "
                f"expected {self._header.codebooks}"
            )
        if (chunk.scale is not None) != self._header.has_scale:
            raise ContainerError(
                f"chunk {self.count} has scale {chunk.scale}, but the header says has_scale "
                f"{self._header.has_scale}"
            )

    def add(self, frames: int) -> None:
        """Count a chunk of `frames` frames.

        Raises:
            ContainerError: too many frames, or a short chunk came earlier than it may.
        """
        full = self._header.chunk_frames
        if not 1 <= frames <= full:
            raise ContainerError(f"chunk {self.count} has {frames} frames, expected 1 to {full}")
        followers = 1 if self._header.segment is None else 2
        if self._first_short is not None and self.count - self._first_short >= followers:
            raise ContainerError(
                f"chunk {self._first_short} has fewer than {full} frames but is not at the end"
            )
        if frames < full and self._first_short is None:
            self._first_short = self.count
        self.count += 1
        self.frames += frames

    def check_end(self, num_samples: int, *, frames_known: bool = True) -> None:
        """Compare what was counted with what `num_samples` samples per channel take.

        Raises:
            ContainerError: another number of chunks or, with `frames_known`, of frames.
        """
        chunks = self._header.chunk_count(num_samples)
        if self.count != chunks:
            raise ContainerError(
                f"{num_samples} samples take {chunks} chunks, but there are {self.count}"
            )
        frames = self._header.frames_before(chunks, num_samples)
        if frames_known and self.frames != frames:
            raise ContainerError(
                f"{num_samples} samples take {frames} frames, but there are {self.frames}"
            )
