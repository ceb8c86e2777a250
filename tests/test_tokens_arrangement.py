"""Codes arranged for other programs: what is written, what is refused, and the way back."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from token_samples import FORMATS, INFO, assert_same, make_item, write

from encodec_cli.errors import ContainerError, UsageError
from encodec_cli.tokens import (
    Arrangement,
    BadItem,
    Reading,
    TokenInfo,
    TokenItem,
    arranged,
    check_arrangement,
    read_items,
)
from encodec_cli.tokens.reading import Stated
from encodec_cli.tokens.writing import row_of

BINS = 1024
SAMPLE = make_item(scales=True)
"""Codes [3, 7]."""
ARRANGEMENTS = [
    Arrangement(layout="TK"),
    Arrangement(pattern="delay"),
    Arrangement(layout="TK", pattern="delay", special=-1, code_dtype="int16"),
    Arrangement(pattern="delay", special=5000, code_dtype="int64"),
    *(Arrangement(code_dtype=dtype) for dtype in ("uint16", "int16", "int32", "int64")),
    Arrangement(flat="frames"),
    Arrangement(flat="books"),
    Arrangement(flat="frames", offset=128_266, code_dtype="int32"),
    Arrangement(flat="frames", separator=9000, bos=9001, eos=9002),
    Arrangement(flat="books", offset=3, separator=0, bos=1, eos=2),
    Arrangement(flat="books", separator=-1, bos=-2, code_dtype="int64"),
]


def fits(to: str, how: Arrangement) -> bool:
    try:
        check_arrangement(to, how)
    except UsageError:
        return False
    return True


WRITTEN = [(to, how) for to, how in itertools.product(FORMATS, ARRANGEMENTS) if fits(to, how)]


@pytest.mark.parametrize(
    ("to", "how"), WRITTEN, ids=lambda one: one if isinstance(one, str) else repr(one.stated(BINS))
)
def test_every_arrangement_is_undone_without_being_told(
    how: Arrangement, to: str, tmp_path: Path
) -> None:
    for item in (SAMPLE, make_item(books=1, frames=1), make_item(books=8, frames=300)):
        [got] = read_items(write(tmp_path, to, [item], how))
        assert_same(got, item)
        assert isinstance(got, TokenItem)
        if how.stated(BINS):
            others = Reading(books=8, bins=7, layout="TK", offset=99)
            np.testing.assert_array_equal(arranged(got, others), item.codes)


def test_what_is_refused_by_formats() -> None:
    assert not fits("jsonl", Arrangement(code_dtype="int32"))
    assert not fits("shar", Arrangement(layout="KT"))
    assert not fits("shar", Arrangement(flat="frames"))
    assert all(fits(to, Arrangement()) for to in FORMATS)


def codes_of(how: Arrangement, item: TokenItem = SAMPLE) -> list[Any]:
    return list(row_of(item, how).codes.tolist())


def test_the_delay_pattern_as_musicgen_has_it() -> None:
    item = TokenItem("a", np.array([[1, 2, 3], [4, 5, 6]], np.uint16), None, INFO)
    assert codes_of(Arrangement(pattern="delay"), item) == [[1, 2, 3, 1024], [1024, 4, 5, 6]]
    how = Arrangement(pattern="delay", special=-1, layout="TK", code_dtype="int16")
    assert codes_of(how, item) == [[1, -1], [2, 4], [3, 5], [-1, 6]]


def test_flat_codes_by_hand() -> None:
    item = TokenItem("a", np.array([[1, 2], [3, 4]], np.uint16), None, INFO)
    assert codes_of(Arrangement(flat="frames"), item) == [1, 1027, 2, 1028]
    assert codes_of(Arrangement(flat="books"), item) == [1, 2, 1027, 1028]
    how = Arrangement(flat="frames", offset=10, separator=9, bos=7, eos=8)
    assert codes_of(how, item) == [7, 11, 1037, 9, 12, 1038, 8]
    how = Arrangement(flat="books", offset=10, separator=9)
    assert codes_of(how, item) == [11, 12, 9, 1037, 1038]


@pytest.mark.parametrize("dtype", ["uint16", "int16", "int32", "int64"])
def test_codes_have_the_type_asked_for(dtype: Any) -> None:
    assert row_of(SAMPLE, Arrangement(code_dtype=dtype)).codes.dtype == dtype
    assert row_of(SAMPLE, Arrangement()).codes.dtype == np.uint16


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"layout": "kt"}, "layout: is one of KT, TK"),
        ({"code_dtype": "uint8"}, "code_dtype: is one of uint16, int16, int32, int64"),
        ({"flat": "rows"}, "flat: is one of frames, books"),
        ({"offset": 3}, "offset: is for flat codes"),
        ({"separator": 3}, "separator: is for flat codes"),
        ({"flat": "frames", "layout": "TK"}, "layout: flat codes have none"),
        ({"flat": "frames", "pattern": "delay"}, "pattern: flat codes have none"),
        ({"special": 3}, "special: is for pattern=delay"),
        ({"flat": "frames", "offset": -1}, "offset=-1: is 0 or more"),
        ({"flat": "frames", "bos": 1 << 62}, "bos: below 10"),
    ],
)
def test_what_does_not_go_together(words: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Arrangement(**words)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (Arrangement(pattern="delay", special=5), "special=5: is a code's number; .* 0 to 1023"),
        (Arrangement(pattern="delay", special=-1), "-1 does not fit into uint16; give code_dtype"),
        (Arrangement(flat="frames", bos=3071), "bos=3071: is a code's number; .* 0 to 3071"),
        (Arrangement(flat="frames", offset=9, eos=9), "eos=9: is a code's number"),
        (Arrangement(flat="frames", offset=64_000), "67071 does not fit into uint16"),
        (
            Arrangement(flat="books", offset=40_000, code_dtype="int16"),
            "40000 does not fit into int16",
        ),
        (Arrangement(flat="frames", separator=70_000), "70000 does not fit into uint16"),
    ],
)
def test_numbers_that_do_not_fit(how: Arrangement, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        row_of(SAMPLE, how)


def test_a_special_just_beside_the_codes_fits() -> None:
    how = Arrangement(flat="frames", offset=9, bos=8, eos=9 + 3 * BINS)
    assert codes_of(how)[0] == 8
    assert codes_of(how)[-1] == 9 + 3 * BINS


def test_codes_of_unknown_bits_are_not_arranged() -> None:
    item = TokenItem("a", SAMPLE.codes, None, TokenInfo(model="x"))
    assert row_of(item, Arrangement()).codes.dtype == np.uint16
    with pytest.raises(UsageError, match="a: its codes do not say how many bits"):
        row_of(item, Arrangement(flat="frames"))


# What files state


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layout=tk", "'layout=tk' is not known"),
        ("flat=frames", "does not say bins"),
        ("pattern=delay special=3", "does not say bins"),
        ("bins=0", "bins=0: give 2"),
        ("bins=9999999", "give 2 to 65536"),
        ("special=1e3", "is not known"),
        ("special=" + "9" * 30, "is not known"),
        ("offset=--3", "is not known"),
        ("x" * 500, "not a line of text"),
        (5, "not a line of text"),
        ("layout", "is not known"),
    ],
)
def test_odd_statements_are_refused(text: Any, message: str) -> None:
    with pytest.raises(ContainerError, match=message):
        Stated.from_text(text)


@pytest.mark.parametrize(
    ("codes", "more", "message"),
    [
        ([1, 2], {"codes_arrangement": "layout=TK"}, "states two axes"),
        ([[1, 2]], {"codes_arrangement": "flat=books bins=4"}, "states one axis"),
        ([1, 2], {"codes_arrangement": "flat=books bins=4"}, "n_q does not say"),
        ([1, 2], {"codes_arrangement": "flat=books bins=4", "n_q": 500}, "n_q does not say"),
        ([1, 2], {"codes_arrangement": "flat=books bins=4", "n_q": 2}, "n_q says 2, but"),
        ([9, 9], {"codes_arrangement": "flat=books bins=4", "n_q": 2}, "no flat tokens from 0"),
        ([1, 9, 2], {"codes_arrangement": "flat=books bins=4", "n_q": 1}, "flat token 1 is 9"),
        (
            [[1, 2], [3, 1]],
            {"codes_arrangement": "pattern=delay bins=4"},
            "not a delay pattern",
        ),
        ([[1, 2], [3, 1]], {"codes_arrangement": "layout=TK", "n_q": 3}, "n_q says 3"),
    ],
)
def test_codes_that_are_not_as_stated(
    codes: Any, more: dict[str, Any], message: str, tmp_path: Path
) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"codes": codes, **more}))
    [item] = read_items(tmp_path / "a.jsonl")
    assert isinstance(item, BadItem)
    assert message in item.reason


def test_separators_of_other_programs_are_told() -> None:
    """Their files state nothing: --offset and --separator say it."""
    codes = SAMPLE.codes
    for flat, offset in itertools.product(("frames", "books"), (0, 128_266)):
        how = Arrangement(
            flat=flat, offset=offset, separator=200_000, bos=200_001, code_dtype="int32"
        )
        tokens = row_of(SAMPLE, how).codes
        item = TokenItem("a", tokens[None], arrangement="flat")
        reading = Reading(8, BINS, offset=offset, separator=200_000)
        np.testing.assert_array_equal(arranged(item, reading), codes)
        with pytest.raises(ContainerError, match="a special token between codes; see offset and"):
            arranged(item, Reading(8, BINS, offset=offset))
