"""Fuzzed corpora: manifests, archives and tables of recordings."""

import contextlib
import io
import json
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = [
    "archives",
    "arrow_streams",
    "lists",
    "parquet_files",
    "read_arrow",
    "read_inputs",
    "read_list",
    "tables",
]

_SOURCE = {"type": "file", "channels": [0, 1], "source": "a.wav"}
_RECORDING = {"id": "r", "sources": [_SOURCE], "duration": 9.5, "channel_ids": [0, 1]}
_CUT = {"id": "c", "start": 0.5, "duration": 2.0, "channel": 0, "recording": _RECORDING}
_SAID = {"id": "s", "recording_id": "r", "start": 1, "duration": 2, "text": "x", "channel": [0]}
_ROWS: list[Any] = [
    {
        "audio_filepath": "a.wav",
        "offset": 0.5,
        "duration": 2,
        "text": "word",
        "tags": [1, {"x": 2}],
    },
    {"id": 7, "audio": {"path": "a.wav"}, "speaker": None},
    _RECORDING,
    _SAID,
    _CUT | {"supervisions": [_SAID], "custom": {"snr": 3.5}, "type": "MonoCut"},
    {"id": "m", "tracks": [{"cut": _CUT, "offset": 0.0}], "type": "MixedCut"},
]


def lists() -> Sequence[bytes]:
    """JSON Lines of every kind of row."""
    orders = (_ROWS, _ROWS[:1], _ROWS[3:], _ROWS[2:4])
    return ["\n".join(map(json.dumps, rows)).encode() for rows in orders]


def tables() -> Sequence[bytes]:
    """CSV and TSV."""
    rows = [["path", "text", "offset", "duration"], ["a.wav", 'ja, "gut"', "0.5", "2"], ["b"] * 4]
    csv = "\n".join(",".join('"{}"'.format(x.replace('"', '""')) for x in row) for row in rows)
    return [csv.encode(), "\n".join(map("\t".join, rows)).encode(), b"\xef\xbb\xbf" + csv.encode()]


def archives() -> Sequence[bytes]:
    """Tar archives in each form, with sidecars."""
    made = []
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w", format=form) as tar:
            for name, data in (
                ("x/a.wav", bytes(700)),
                ("x/a.json", b'{"speaker": "anna", "duration": 2.5}'),
                ("x/a.txt", b"word"),
                ("y" * 90 + "/b.flac", b"flac"),
            ):
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
        made.append(file.getvalue())
    return made


def _table() -> Any:
    from encodec_cli.io.parquet import import_pyarrow

    rows = [
        {"id": 1, "audio": {"bytes": b"first", "path": "a.wav"}, "tags": ["x"], "d": 1.5},
        {"id": 2, "audio": {"bytes": b"second" * 20, "path": None}, "tags": None, "d": None},
        {"id": 3, "audio": None, "tags": [], "d": 2.0},
    ]
    return import_pyarrow().Table.from_pylist(rows)


def parquet_files() -> Sequence[bytes]:
    """Parquet as Hugging Face writes it."""
    from encodec_cli.io.parquet import import_pyarrow

    made = []
    for options in ({}, {"row_group_size": 1, "compression": "none"}):
        file = io.BytesIO()
        import_pyarrow().parquet.write_table(_table(), file, **options)
        made.append(file.getvalue())
    return made


def arrow_streams() -> Sequence[bytes]:
    """Arrow files of saved data sets."""
    from encodec_cli.io.parquet import import_pyarrow

    file, table = io.BytesIO(), _table()
    with import_pyarrow().ipc.new_stream(file, table.schema) as out:
        out.write_table(table, max_chunksize=2)
    return [file.getvalue()]


def read_inputs(path: Path, *, as_manifest: bool = False) -> None:
    """Every item of a file, and the bytes of those whose recordings lie in it."""
    from encodec_cli.corpus import AudioFile, BadCorpusItem, Corpus, CorpusItem, read
    from encodec_cli.corpus.lhotse_audio import LhotseAudio
    from encodec_cli.errors import EncodecCliError
    from encodec_cli.tokens.item import check_key

    corpus = Corpus(manifests=(path,)) if as_manifest else Corpus(inputs=(str(path),))
    keys = set()
    for item in read(corpus):
        check_key(item.key)
        assert item.key not in keys
        keys.add(item.key)
        assert item.source.isprintable()
        if isinstance(item, BadCorpusItem):
            assert len(item.reason.splitlines()) == 1
        elif isinstance(item, CorpusItem) and not isinstance(item.audio, AudioFile | LhotseAudio):
            json.dumps(dict(item.columns), allow_nan=False).encode()
            with contextlib.suppress(EncodecCliError), item.audio.open() as file:
                file.read()


def read_list(path: Path) -> None:
    """Every item of a manifest."""
    read_inputs(path, as_manifest=True)


def read_arrow(path: Path) -> None:
    """Every item of a saved data set that has the file `path`."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "data.arrow").write_bytes(path.read_bytes())
        (folder / "state.json").write_text('{"_data_files": [{"filename": "data.arrow"}]}')
        read_inputs(folder)
