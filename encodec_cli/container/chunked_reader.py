"""Codes of formats 1 and 2: intact records to chunks, many at once where a code model is at work.

    RecordReader --StoredChunk--> up to 32 side by side --Payload.unpack--> CodeChunk

A pipe's chunks are decoded as soon as they are there: one by one, or those together that are there
already.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping

from encodec_cli.container.codes import CodeChunk
from encodec_cli.container.header import Header
from encodec_cli.container.payload import ChunkCoder, Payload, StoredChunk, payloads_for
from encodec_cli.container.record_reader import MAX_PROBLEMS, RecordReader
from encodec_cli.container.records import Framing
from encodec_cli.container.types import Chunk, ChunkIndex, DamagedChunk, place
from encodec_cli.container.wire import ByteSource
from encodec_cli.errors import ContainerError

__all__ = ["ChunkedReader"]

_FIRST_LANES = 16  # cost hardly more than four
_MOST_LANES = 32

FindCoder = Callable[[Header], ChunkCoder]
MakeFraming = Callable[[Header, Mapping[int, Payload]], Framing]


class ChunkedReader:
    """Iterates over the chunks of a file; see `EcdcReader`."""

    def __init__(
        self,
        source: ByteSource,
        header: Header,
        framing: MakeFraming,
        find_coder: FindCoder,
        *,
        prove: bool,
    ) -> None:
        """`source` stands behind the header. For `prove` see `CodedPayload`.

        `find_coder` is called when the first chunk is asked for, if the header names a code model.
        """
        self.header = header
        self.problems: list[str] = []
        self._source = source
        self._find_coder = find_coder
        self._prove = prove
        self._payloads = payloads_for(header)
        self._coder_missing = header.code_model is not None
        spelt = framing(header, self._payloads)
        self._records = RecordReader(source, header, spelt, self._payloads)
        self._restart()

    @property
    def num_samples(self) -> int | None:
        """See `EcdcReader.num_samples`."""
        return self._records.num_samples

    @property
    def source_num_samples(self) -> int | None:
        """See `EcdcReader.source_num_samples`."""
        return self._records.source_num_samples

    @property
    def offset(self) -> int:
        """Bytes consumed so far."""
        return self._records.offset

    @property
    def index(self) -> ChunkIndex | None:
        """Positions of the chunks; None in a pipe or if the end mark is missing or damaged."""
        return self._records.index

    def seek(self, chunk: int) -> None:
        """Continue with chunk number `chunk`."""
        self._records.seek(chunk)
        self._restart()

    def stored(self) -> Iterator[StoredChunk | DamagedChunk]:
        """The chunks still to come, as far as checksums tell, without their codes."""
        for chunk in self._records:
            self.problems += self._new_problems()
            yield chunk
        self.problems += self._new_problems()

    def __iter__(self) -> Iterator[Chunk]:
        return self

    def __next__(self) -> Chunk:
        if self._coder_missing:
            coder = self._find_coder(self.header)
            self._payloads = payloads_for(self.header, coder, prove=self._prove)
            self._coder_missing = False
        if not self._ready and not self._ended:
            self._fill()
        if not self._ready:
            self.problems += self._new_problems()
            next(self._records)  # raises what ended them
            raise StopIteration
        chunk, problems = self._ready.popleft()
        self.problems += problems
        return chunk

    def _restart(self) -> None:
        self._ready: deque[tuple[Chunk, list[str]]] = deque()
        self._ended = False
        self._noted = len(self._records.problems)
        coded = self.header.code_model is not None
        self._lanes = _FIRST_LANES if coded else 1
        self._most_lanes = _MOST_LANES if coded else 1

    def _fill(self) -> None:
        """Decode the next chunks, up to the first damaged one, side by side."""
        stored: list[StoredChunk] = []
        problems: list[list[str]] = []
        damaged: DamagedChunk | None = None
        while len(stored) < self._lanes and damaged is None:
            if stored and not (self._source.seekable or self._source.has(self._records.full_bytes)):
                break  # the next one of a pipe is to be waited for
            try:
                chunk = next(self._records)
            except (StopIteration, ContainerError):
                self._ended = True
                break
            problems.append(self._new_problems())
            if isinstance(chunk, DamagedChunk):
                damaged = chunk
            else:
                stored.append(chunk)
        self._lanes = min(2 * self._lanes, self._most_lanes)
        chunks = self._unpack(stored)
        if damaged is not None:
            chunks.append((damaged, []))
        for (found, more), noted in zip(chunks, problems, strict=True):
            self._ready.append((found, noted + more))

    def _unpack(self, stored: list[StoredChunk]) -> list[tuple[Chunk, list[str]]]:
        """Codes of intact chunks, each with what turned out to be wrong."""
        unpacked: dict[int, CodeChunk | str] = {}
        for kind, payload in self._payloads.items():
            alike = [chunk for chunk in stored if chunk.kind == kind]
            if alike:
                numbers = [chunk.index for chunk in alike]
                unpacked.update(zip(numbers, payload.unpack(alike), strict=True))
        chunks: list[tuple[Chunk, list[str]]] = []
        for each in stored:
            found = unpacked[each.index]
            if isinstance(found, str):
                line = f"{place(self.header, each.index, each.offset)}: {found}"
                listed = [line] if len(self.problems) < MAX_PROBLEMS else []
                chunks.append((DamagedChunk(each.index, each.frames, found), listed))
            else:
                chunks.append((found, []))
        return chunks

    def _new_problems(self) -> list[str]:
        found = self._records.problems[self._noted :]
        self._noted += len(found)
        return found
