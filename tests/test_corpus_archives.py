"""Tar archives of recordings with sidecars: from a file, packed, and from a pipe."""

import gzip
import io
import json
import pickle
import sys
import tarfile
from pathlib import Path
from unittest import mock

import pytest
from cli_samples import Stream
from corpus_samples import audio_bytes, bad_items, good_items, items_of, write_tar

from encodec_cli.corpus import BadCorpusItem, Corpus, CorpusItem, read

MEMBERS = {
    "talks/a.v1.flac": b"the first",
    "talks/a.json": json.dumps({"speaker": "anna", "duration": 2.5}).encode(),
    "talks/a.txt": b"ja, gut\n",
    "talks/a.cls": b"3",
    "talks/a.npy": b"\x93NUMPY\x01\x00",
    "b.wav": b"the second",
}


def from_pipe(data: bytes) -> list[CorpusItem | BadCorpusItem]:
    with mock.patch.object(sys, "stdin", Stream(io.BytesIO(data))):
        return items_of("-")


def test_members_of_one_name_are_one_item(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "s.tar", MEMBERS)
    a, b = good_items(items_of(path))
    assert (a.key, a.source, a.seconds) == ("talks/a_v1", "s.tar/talks/a.v1.flac", 2.5)
    assert a.columns == {"speaker": "anna", "duration": 2.5, "text": "ja, gut", "cls": "3"}
    assert (b.key, b.source, b.columns) == ("b", "s.tar/b.wav", {})
    assert [audio_bytes(item) for item in (a, b)] == [b"the first", b"the second"]
    assert a.audio.size == 9


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_form_of_tar_and_long_names(form: int, tmp_path: Path) -> None:
    name = f"{'d' * 80}/{'ä' * 60 if form != tarfile.USTAR_FORMAT else 'a' * 90}.wav"
    with tarfile.open(tmp_path / "s.tar", "w", format=form) as tar:
        tar.add(tmp_path, "folder", recursive=False)
        entry = tarfile.TarInfo(name)
        entry.size = 3
        tar.addfile(entry, io.BytesIO(b"abc"))
        link = tarfile.TarInfo("x.wav")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    [item] = good_items(items_of(tmp_path / "s.tar"))
    assert (item.source, audio_bytes(item)) == (f"s.tar/{name}", b"abc")


def test_a_packed_archive_and_a_pipe_have_the_same_items(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "s.tar", MEMBERS)
    packed = tmp_path / "s.tar.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    plain = good_items(items_of(path))
    for found in (items_of(packed), from_pipe(path.read_bytes())):
        for item, expected in zip(good_items(found), plain, strict=True):
            assert (item.key, item.columns) == (expected.key, expected.columns)
            assert audio_bytes(item) == audio_bytes(expected)


def test_items_can_be_pickled_and_those_of_a_file_without_their_bytes(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "s.tar", {"a.wav": bytes(100_000)})
    [item] = good_items(items_of(path))
    data = pickle.dumps(item)
    assert len(data) < 1000
    assert audio_bytes(pickle.loads(data)) == bytes(100_000)


def test_several_recordings_of_one_name_are_items_each(tmp_path: Path) -> None:
    members = {"a.mic1.wav": b"1", "a.mic2.wav": b"2", "a.wav": b"3", "a.mp3": b"4", "a.txt": b"x"}
    found = good_items(items_of(write_tar(tmp_path / "s.tar", members)))
    assert [item.key for item in found] == ["a_mic1", "a_mic2", "a", "a-2"]
    assert [audio_bytes(item) for item in found] == [b"1", b"2", b"3", b"4"]
    assert {item.columns["text"] for item in found} == {"x"}


def test_keys_of_several_archives_stay_apart(tmp_path: Path) -> None:
    paths = [write_tar(tmp_path / f"{i}.tar", {"a.wav": b"x"}) for i in range(3)]
    assert [item.key for item in items_of(*paths)] == ["a", "a-2", "a-3"]
    assert [item.key for item in items_of(tmp_path)] == ["a", "a-2", "a-3"]


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"a.txt": b"x"}, "no audio among its files"),
        ({"a.codes.npy": b"x", "a.json": b"{}"}, "no audio among its files"),
        ({"a.wav": b"x", "a.json": b"{"}, ".json: damaged"),
        ({"a.wav": b"x", "a.json": b"[" * 100_000}, ".json: damaged"),
        ({"a.wav": b"x", "a.json": b"\xff"}, ".json: not UTF-8"),
        ({"a.wav": b"x", "a.txt": b"\xff"}, ".txt: not UTF-8"),
        ({"a.wav": b"x", "a.json": b" " * (1 << 19)}, ".json: 524288 bytes"),
        ({"a.wav": b"x", "a.json": b'{"": 1}'}, "a column named ''"),
    ],
)
def test_an_item_that_is_wrong_is_one_failure(
    members: dict[str, bytes], words: str, tmp_path: Path
) -> None:
    found = items_of(write_tar(tmp_path / "s.tar", members | {"z.wav": b"good"}))
    assert [item.key for item in found] == ["a", "z"]
    [bad] = bad_items(found)
    assert words in bad.reason
    assert bad.source == "s.tar/a"


def test_sidecars_without_end_are_not_all_kept(tmp_path: Path) -> None:
    members = {f"a.x{i}": b"x" * 100_000 for i in range(100)} | {"a.wav": b"x"}
    [item] = good_items(items_of(write_tar(tmp_path / "s.tar", members)))
    assert len(item.columns) == 64


def test_json_that_is_no_object_is_a_column(tmp_path: Path) -> None:
    [item] = good_items(items_of(write_tar(tmp_path / "s.tar", {"a.wav": b"x", "a.json": b"[1]"})))
    assert item.columns == {"json": [1]}


@pytest.mark.parametrize(
    ("cut", "from_file", "piped"),
    [(10, 0, 0), (700, 0, 0), (1536, 0, 1), (2000, 0, 1), (2048, 1, 1), (2560, 1, 2)],
)
@pytest.mark.parametrize("is_pipe", [False, True], ids=["file", "pipe"])
def test_a_truncated_archive_gives_what_is_surely_whole_and_says_so(
    cut: int, from_file: int, piped: int, is_pipe: bool, tmp_path: Path
) -> None:
    """Three recordings of 500 bytes: each takes 1,024 bytes of archive.

    The last item before the place of damage may lack a file, and fails. Only in a file does the
    header of the next one show the damage.
    """
    members = {f"{name}.wav": name.encode() * 500 for name in "abc"}
    data = write_tar(tmp_path / "s.tar", members).read_bytes()[:cut]
    (tmp_path / "s.tar").write_bytes(data)
    found = from_pipe(data) if is_pipe else items_of(tmp_path / "s.tar")
    whole = [item for item in found if isinstance(item, CorpusItem)]
    assert len(whole) == (piped if is_pipe else from_file)
    assert [audio_bytes(item) for item in whole] == [b"a" * 500, b"b" * 500][: len(whole)]
    last = found[-1]
    assert isinstance(last, BadCorpusItem)
    assert "truncated" in last.reason or "not a tar file" in last.reason
    assert last.source in ("-", str(tmp_path / "s.tar"))


def test_a_damaged_header_ends_the_archive(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "s.tar", {f"{name}.wav": bytes(500) for name in "abc"})
    data = bytearray(path.read_bytes())
    data[1024 + 150] ^= 1  # in the check sum of the second header
    path.write_bytes(data)
    found = items_of(path)
    assert [type(item) for item in found] == [BadCorpusItem, BadCorpusItem]
    assert "no tar header at byte 1024" in bad_items(found)[-1].reason


@pytest.mark.parametrize("name", ["../../etc/a.wav", "/etc/a.wav", "./a.wav", "x/../a.wav"])
def test_names_that_lead_elsewhere_lead_nowhere(name: str, tmp_path: Path) -> None:
    [item] = good_items(items_of(write_tar(tmp_path / "s.tar", {name: b"x"})))
    assert item.key in ("a", "etc/a", "x/a")
    assert audio_bytes(item) == b"x"


@pytest.mark.parametrize("data", [b"", bytes(10240), b"no tar at all" * 100])
def test_what_is_no_archive_is_one_failure(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "s.tar"
    path.write_bytes(data)
    for found in (items_of(path), from_pipe(data)):
        [bad] = bad_items(found)
        assert len(found) == 1
        assert "holds no files" in bad.reason or "tar" in bad.reason or "trunc" in bad.reason


def test_a_size_beyond_all_bounds_is_refused(tmp_path: Path) -> None:
    entry = tarfile.TarInfo("a.wav")
    entry.size = 1 << 60
    data = entry.tobuf(tarfile.GNU_FORMAT) + bytes(1024)
    path = tmp_path / "s.tar"
    path.write_bytes(data)
    assert "truncated" in bad_items(items_of(path))[-1].reason
    found = bad_items(from_pipe(data))
    assert "at most" in found[0].reason
    assert "truncated" in found[-1].reason


def test_an_archive_that_shrinks_before_it_is_coded_is_a_failure(tmp_path: Path) -> None:
    from encodec_cli.errors import EncodecCliError

    path = write_tar(tmp_path / "s.tar", {"a.wav": bytes(5000)})
    [item] = good_items(items_of(path))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(EncodecCliError, match="the archive ends in it"):
        audio_bytes(item)


def test_a_corpus_on_standard_input_can_be_read_once() -> None:
    assert not Corpus(inputs=("-",)).rereadable
    assert Corpus(inputs=("a.tar",)).rereadable


def test_reading_is_lazy(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "s.tar", {f"{i}.wav": bytes(100) for i in range(9)})
    items = read(Corpus(inputs=(str(path),)))
    assert next(items).key == "0"
    path.write_bytes(path.read_bytes()[:3000])
    assert isinstance(list(items)[-1], BadCorpusItem)
