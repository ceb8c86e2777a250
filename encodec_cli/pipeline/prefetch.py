"""Chunks read while those before are decoded, where reading takes long.

    this thread          | decode 1 | decode 2 | ...
    another   | read 1 | read 2 | read 3 | ...

Reading takes long where the codes are compressed with the language model, which runs on one thread.
"""

import threading
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import TypeVar

import torch

from encodec_cli.container import DamagedChunk, EcdcReader
from encodec_cli.container.codes import CodeChunk
from encodec_cli.engine.threads import torch_threads

__all__ = ["ahead", "chunks_of"]

_T = TypeVar("_T")


def ahead(items: Iterable[_T]) -> Generator[_T, None, None]:
    """The same items, each made by another thread while the one before is in use.

    Errors come when their item would. To close this waits for the item that is being made.
    """
    source, end = iter(items), object()
    with ThreadPoolExecutor(1) as thread:
        made = thread.submit(next, source, end)
        while (item := made.result()) is not end:
            made = thread.submit(next, source, end)
            yield item  # type: ignore[misc]  # it is one of `source`


@contextmanager
def chunks_of(reader: EcdcReader) -> Iterator[Iterator[CodeChunk | DamagedChunk]]:
    """The reader's chunks, ahead if that pays; torch meanwhile leaves one of its threads free.

    Pipes are read when it is their turn: nobody could stop a thread that waits for one. So are
    files in any but the main thread, where others may be at work beside them (see `scheduler`).
    """
    threads = torch.get_num_threads()
    main = threading.current_thread() is threading.main_thread()
    if not (reader.header.lm and reader.seekable and main and threads > 1):
        yield iter(reader)
        return
    with torch_threads(threads - 1), closing(ahead(reader)) as chunks:
        yield chunks
