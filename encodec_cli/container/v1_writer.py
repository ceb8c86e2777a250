"""Writing format 1: every chunk is on its way as soon as it is given."""

from array import array
from typing import BinaryIO

from encodec_cli.container.codes import CodeChunk
from encodec_cli.container.header import Header
from encodec_cli.container.tally import ChunkTally
from encodec_cli.container.v1_records import build_end, build_header, build_raw, build_tail
from encodec_cli.container.wire import write_all

__all__ = ["V1Writer"]


class V1Writer:
    """Writes header, chunks and end mark to a file or pipe; see `EcdcWriter`."""

    def __init__(self, file: BinaryIO, header: Header) -> None:
        self._file = file
        self._header = header
        self._tally = ChunkTally(header)
        self._sizes = array("I")
        self._send(build_header(header))

    def write(self, chunk: CodeChunk) -> None:
        """Append a chunk."""
        self._tally.check(chunk)
        record = build_raw(self._header, chunk, self._tally.count)
        self._tally.add(chunk.frames)
        self._sizes.append(len(record))
        self._send(record)

    def finish(self, num_samples: int, source_num_samples: int | None) -> None:
        """Append the end mark."""
        self._tally.check_end(num_samples)
        end = build_end(num_samples, source_num_samples, self._sizes)
        self._send(end + build_tail(len(end)))

    def _send(self, data: bytes) -> None:
        write_all(self._file, data)
        # A listener at the other end hears the chunk now, and a crash loses nothing before it.
        self._file.flush()
