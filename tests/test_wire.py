"""Bytes in: what is asked of files and pipes, and what is handed out."""

import io

import pytest
from ecdc_samples import Pipe

from encodec_cli.container.wire import ByteSource

DATA = bytes(range(256)) * 2


@pytest.mark.parametrize("file", [io.BytesIO, Pipe], ids=["file", "pipe"])
def test_bytes_come_one_by_one_to_the_end(file: type[io.BytesIO] | type[Pipe]) -> None:
    source = ByteSource(file(DATA))

    assert bytes(iter(source.byte, None)) == DATA
    assert source.offset == len(DATA)
    assert source.byte() is None
    assert source.offset == len(DATA)


def test_a_pipe_is_asked_for_one_byte_at_a_time() -> None:
    pipe = Pipe(DATA)
    source = ByteSource(pipe)

    for asked in range(1, 100):
        source.byte()
        assert pipe.asked == asked


@pytest.mark.parametrize("file", [io.BytesIO, Pipe], ids=["file", "pipe"])
def test_bytes_and_blocks_may_take_turns(file: type[io.BytesIO] | type[Pipe]) -> None:
    source = ByteSource(file(DATA))

    assert source.peek(3) == DATA[:3]
    assert [source.byte(), source.byte()] == [0, 1]
    assert source.peek(100) == DATA[2:102]
    assert source.peek(5, ahead=200) == DATA[202:207]
    assert (source.byte(), source.offset) == (2, 3)
    source.peek(10)
    source.skip(10)
    assert (source.byte(), source.offset) == (13, 14)
    assert source.count_rest(1000) == len(DATA) - 14
    assert source.byte() is None


def test_a_file_read_ahead_is_still_sought_and_measured() -> None:
    file = io.BytesIO(b"before" + DATA)
    file.seek(6)
    source = ByteSource(file)

    assert [source.byte(), source.byte()] == [0, 1]
    assert source.size() == len(DATA)
    assert source.read_at(50, 4) == DATA[50:54]
    assert source.byte() == 2
    source.seek(300)
    assert (source.byte(), source.offset) == (DATA[300], 301)
    source.seek(0)
    assert source.byte() == 0


def test_a_pipe_with_nothing_to_give_for_now_ends() -> None:
    class Empty(Pipe):
        def read(self, size: int = -1, /) -> bytes:
            return None  # type: ignore[return-value]  # as raw files do that must not block

    assert ByteSource(Empty()).byte() is None
