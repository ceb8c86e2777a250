"""Outputs are complete or absent, whatever happens while they are written."""

import errno
import os
import sys
from pathlib import Path

import pytest

from encodec_cli.errors import EncodecCliError, OutputError
from encodec_cli.io.files import atomic_output, check_writable, open_input, standard_output


def test_target_appears_only_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "a"
    with atomic_output(target) as file:
        file.write(b"half")
        file.flush()
        assert not target.exists()
        file.seek(0)
        file.write(b"full")
    assert target.read_bytes() == b"full"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, MemoryError])
def test_nothing_is_left_after(tmp_path: Path, error: type[BaseException]) -> None:
    old = tmp_path / "old"
    old.write_bytes(b"old")

    def fail(target: Path) -> None:
        with atomic_output(target, force=True) as file:
            file.write(b"half")
            raise error("stop")

    for target in (tmp_path / "new", old):
        with pytest.raises(error, match="stop"):
            fail(target)
    assert list(tmp_path.iterdir()) == [old]
    assert old.read_bytes() == b"old"


def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        with atomic_output(tmp_path / "ours") as file:
            file.write(b"")
        (tmp_path / "theirs").write_bytes(b"")
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(old)
    modes = {(tmp_path / name).stat().st_mode for name in ("ours", "theirs")}
    assert len(modes) == 1


def test_somebody_else_made_the_target_meanwhile(tmp_path: Path) -> None:
    target = tmp_path / "a"
    with (
        pytest.raises(OutputError, match="a: exists already; use --force"),
        atomic_output(target),
    ):
        target.write_bytes(b"theirs")
    assert target.read_bytes() == b"theirs"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO])
def test_a_disk_that_refuses(tmp_path: Path, number: int) -> None:
    with (
        pytest.raises(OutputError, match=f"a: cannot write: {os.strerror(number)}"),
        atomic_output(tmp_path / "a"),
    ):
        raise OSError(number, os.strerror(number))
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_that_breaks_inside_is_not_the_targets_fault(tmp_path: Path) -> None:
    with pytest.raises(BrokenPipeError, match="Broken pipe"), atomic_output(tmp_path / "a"):
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
    assert list(tmp_path.iterdir()) == []


def test_pipes_and_devices_are_never_replaced(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for place in (fifo, Path("/dev/null")):
        with pytest.raises(OutputError, match="is a device or pipe; write to '-'"):
            check_writable(place, force=True)
    assert fifo.is_fifo()


@pytest.mark.parametrize("name", ["é" * 127, "録" * 85, "x" * 255])
def test_names_as_long_as_the_system_allows(tmp_path: Path, name: str) -> None:
    with atomic_output(tmp_path / name) as file:
        file.write(b"x")
    assert (tmp_path / name).read_bytes() == b"x"
    with pytest.raises(OutputError, match="File name too long"):
        check_writable(tmp_path / (name + "xx"), force=False)


def test_inputs_that_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EncodecCliError, match="is a folder"), open_input(tmp_path):
        pass
    with pytest.raises(EncodecCliError, match="no such file; check"), open_input(tmp_path / "a"):
        pass
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(EncodecCliError, match="stdin: is closed"), open_input("-"):
        pass
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(OutputError, match="stdout: is closed"), standard_output():
        pass
