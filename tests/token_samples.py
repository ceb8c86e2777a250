"""Items of tokens for tests, and files of them in every format."""

import gc
import warnings
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from encodec_cli.tokens import (
    SHARD_FORMATS,
    SINGLE_FORMATS,
    Arrangement,
    BadItem,
    ColumnKinds,
    TokenInfo,
    TokenItem,
)

FORMATS = (*SINGLE_FORMATS, *SHARD_FORMATS)
INFO = TokenInfo(
    source="talks/été.wav",
    model="tiny",
    model_sha256="0a" * 32,
    sample_rate=24_000,
    channels=1,
    hop=320,
    bits=10,
    num_samples=2200,
    source_sample_rate=44_100,
    source_channels=2,
    source_num_samples=4042,
)
PLAIN = Arrangement()


def make_item(
    key: str = "a", *, scales: bool = False, books: int = 3, frames: int = 7, **columns: object
) -> TokenItem:
    codes = np.random.default_rng(1).integers(0, 1024, (books, frames)).astype(np.uint16)
    levels = np.array([0.5, 2], np.float32) if scales else None
    return TokenItem(key, codes, levels, INFO, columns=columns)


def files_of(folder: Path, to: str) -> list[Path]:
    """Where `write` writes, in the order of the format."""
    if to in SINGLE_FORMATS:
        return [folder / f"a{SINGLE_FORMATS[to].suffix}"]
    return [folder / name.format("00000") for name in SHARD_FORMATS[to].files]


def write(
    folder: Path,
    to: str,
    items: Iterable[TokenItem],
    arrangement: Arrangement = PLAIN,
    kinds: ColumnKinds | None = None,
) -> Path:
    """A file of `items`, the one with the codes, for `read_items`."""
    paths = files_of(folder, to)
    with ExitStack() as stack:
        for path in paths:
            path.parent.mkdir(exist_ok=True)
        files = [stack.enter_context(path.open("wb")) for path in paths]
        if to in SINGLE_FORMATS:
            [item] = items
            SINGLE_FORMATS[to].write(files[0], item, arrangement)
        else:
            shard = SHARD_FORMATS[to].open(files, arrangement, kinds)
            for item in items:
                shard.add(item)
            shard.finish()
    return paths[-1]


def assert_same(got: TokenItem | BadItem, expected: TokenItem) -> None:
    assert isinstance(got, TokenItem), got
    assert (got.key, got.info) == (expected.key, expected.info)
    np.testing.assert_array_equal(got.codes, expected.codes)
    if expected.scales is None:
        assert got.scales is None
    else:
        assert got.scales is not None
        assert got.scales.dtype == np.float32
        np.testing.assert_array_equal(got.scales, expected.scales)


@contextmanager
def others_warn() -> Iterator[None]:
    """Other packages warn as they please, also when what they left is swept up."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
        gc.collect()


def imported(name: str) -> Any:
    """A package of others; without it the test is skipped."""
    with others_warn():
        return pytest.importorskip(name, reason=f"{name} is not installed")
