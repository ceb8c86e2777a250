"""Outputs are complete or absent, whatever happens while they are written."""

import errno
import fcntl
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest

from encodec_cli.errors import EncodecCliError, OutputError
from encodec_cli.io import files
from encodec_cli.io.files import (
    atomic_output,
    check_inside,
    check_writable,
    open_input,
    standard_output,
)
from encodec_cli.io.folders import search_folder
from encodec_cli.io.recordings import AUDIO_SUFFIXES
from encodec_cli.io.temporary import (
    create_locked,
    remove_leftovers,
    temporary_folder,
    temporary_name,
)


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


def test_nobody_else_opens_a_private_file_while_it_is_made(tmp_path: Path) -> None:
    like, target = tmp_path / "like", tmp_path / "target"
    like.touch(0o640)
    with atomic_output(target, like=like) as file:
        assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077 == 0
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


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
        pytest.raises(OutputError, match="a: exists already; use force=True"),
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


# Symbolic links as targets


def links(folder: Path) -> dict[str, Path]:
    """Links to a file, to nothing yet, and through another link, all into another folder."""
    there = folder / "there"
    there.mkdir()
    (there / "old").write_bytes(b"old")
    made = {"file": "there/old", "dangling": "there/new", "twice": "file"}
    for name, target in made.items():
        (folder / name).symlink_to(target)
    return {"file": there / "old", "dangling": there / "new", "twice": there / "old"}


@pytest.mark.parametrize("name", ["file", "dangling", "twice"])
def test_a_link_as_target_is_refused_without_force(name: str, tmp_path: Path) -> None:
    links(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    for call in (check_writable, lambda path, force: atomic_output(path, force=force).__enter__()):
        with pytest.raises(OutputError, match=rf"{name}: is a symbolic link to .*; use force=True"):
            call(tmp_path / name, force=False)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["file", "dangling", "twice"])
def test_with_force_a_link_stays_and_where_it_leads_is_written(name: str, tmp_path: Path) -> None:
    target = links(tmp_path)[name]
    with atomic_output(tmp_path / name, force=True) as file:
        file.write(b"new")
        assert [p.name for p in target.parent.glob(".*.partial")]
    assert (tmp_path / name).is_symlink()
    assert target.read_bytes() == b"new"
    assert not target.is_symlink()
    assert not list(tmp_path.rglob("*.partial"))


def test_links_that_lead_nowhere_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "gone").symlink_to("no/such/folder/x")
    (tmp_path / "null").symlink_to("/dev/null")
    (tmp_path / "folder").symlink_to(tmp_path)
    for name, words in {
        "a": "is a symbolic link that leads to itself|Too many levels|symbolic link",
        "gone": "folder .*no/such/folder does not exist",
        "null": "is a device or pipe",
        "folder": "is a folder",
    }.items():
        with pytest.raises(OutputError, match=words):
            check_writable(tmp_path / name, force=True)


def test_a_link_made_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    target = tmp_path / "a"

    def write() -> None:
        with atomic_output(target):
            target.symlink_to("nowhere")

    with pytest.raises(OutputError, match="a: is a symbolic link to nowhere"):
        write()
    assert target.is_symlink()


@pytest.mark.parametrize(
    ("key", "inside"),
    [
        ("a", True),
        ("new/deep/a", True),
        ("here/a", True),
        ("out/a", False),
        ("out/evil/a", False),
        ("here/out/a", False),
        ("loop/a", False),
    ],
)
def test_links_do_not_lead_out_of_the_output_folder(key: str, inside: bool, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (folder / "out").symlink_to(tmp_path / "elsewhere")
    (folder / "here").symlink_to(folder)
    (folder / "loop").symlink_to("loop")
    if inside:
        check_inside(folder / key, folder)
    else:
        with pytest.raises(OutputError, match="a symbolic link leads out of"):
            check_inside(folder / key, folder)


# What killed runs leave


def leftover(folder: Path, *, kernel: str | None = None, age_seconds: float = 0) -> Path:
    """A temporary file as a run leaves that is killed."""
    path = temporary_name(folder / "talk.ecdc")
    if kernel is not None:
        path = path.with_name(f".talk.ecdc.{kernel}-0123456789ab.partial")
    descriptor, lock = create_locked(path)
    os.close(descriptor)
    os.close(lock)
    when = path.stat().st_mtime - age_seconds
    os.utime(path, (when, when))
    return path


WEEK = 7 * 24 * 3600


def test_the_next_run_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    left = leftover(tmp_path)
    with atomic_output(tmp_path / "other"):
        pass
    assert not left.exists()
    assert (tmp_path / "other").exists()


def killed_within_a_folder(parent: Path) -> Path:
    """The temporary folder of a run that was killed, with a file in it."""
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from encodec_cli.io.temporary import temporary_folder\n"
        "with temporary_folder(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'sub').mkdir()\n"
        "    (folder / 'sub' / 'big').touch()\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(parent)], check=False)
    assert done.returncode == -9
    [left] = parent.glob(".encodec-cli.*")
    return left


def test_the_next_run_removes_the_folder_that_a_killed_one_left(tmp_path: Path) -> None:
    left = killed_within_a_folder(tmp_path)
    (tmp_path / "mine").mkdir()
    (left / "link").symlink_to(tmp_path / "mine")
    (tmp_path / "mine" / "a").touch()
    with temporary_folder(tmp_path) as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert not left.exists()
        remove_leftovers(tmp_path)  # it has a living writer
        assert folder.is_dir()
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert (tmp_path / "mine" / "a").exists()


def test_the_file_of_a_living_writer_stays(tmp_path: Path) -> None:
    with atomic_output(tmp_path / "a") as file:
        file.write(b"half")
        for _ in range(2):
            remove_leftovers(tmp_path)
        file.write(b" and half")
    assert (tmp_path / "a").read_bytes() == b"half and half"


@pytest.mark.parametrize(
    ("age_seconds", "stays"), [(0, True), (WEEK - 100, True), (WEEK + 100, False)]
)
def test_files_of_another_kernel_stay_for_a_week(
    age_seconds: float, stays: bool, tmp_path: Path
) -> None:
    """Where locks do not reach, as over NFS, their writer may live on another machine."""
    left = leftover(tmp_path, kernel="00000000", age_seconds=age_seconds)
    remove_leftovers(tmp_path)
    assert left.exists() == stays


@pytest.mark.parametrize(
    "name",
    [
        "talk.partial",
        ".talk.partial",
        ".talk.ecdc.abcdefgh.partial",
        ".x.0123abcd-0123.partial",
        ".x.0123abcd-0123456789ab.part",
        "x.0123abcd-0123456789ab.partial",
    ],
)
def test_files_of_others_stay(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"mine")
    os.utime(tmp_path / name, (0, 0))
    remove_leftovers(tmp_path)
    assert (tmp_path / name).read_bytes() == b"mine"


def test_links_and_folders_named_like_leftovers_stay(tmp_path: Path) -> None:
    left = leftover(tmp_path)
    name = left.name
    left.unlink()
    (tmp_path / "precious").write_bytes(b"mine")
    left.symlink_to("precious")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / name).mkdir()
    remove_leftovers(tmp_path)
    remove_leftovers(tmp_path / "sub")
    assert (tmp_path / "precious").read_bytes() == b"mine"
    assert (tmp_path / "sub" / name).is_dir()


def test_a_file_swept_up_before_its_lock_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = temporary_name(tmp_path / "a")
    real, calls = fcntl.flock, 0

    def late(descriptor: int, operation: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            path.unlink()  # by a run that found the lock free
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    descriptor, lock = create_locked(path)
    assert os.path.samestat(os.fstat(descriptor), path.stat())
    os.close(descriptor)
    os.close(lock)


def test_without_locks_files_are_written_and_none_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = leftover(tmp_path)

    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with atomic_output(tmp_path / "a") as file:
        file.write(b"whole")
    assert (tmp_path / "a").read_bytes() == b"whole"
    assert left.exists()


@pytest.mark.parametrize("step", ["open", "flock", "dup", "replace", "unlink"])
def test_a_signal_at_any_step_leaves_nothing(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a signal does, the exception comes right after the system call."""
    owner = fcntl if step == "flock" else Path if step in ("replace", "unlink") else os
    real = getattr(owner, step)
    struck: list[bool] = []

    def strike(*arguments: Any, **options: Any) -> Any:
        if step != "unlink":
            result = real(*arguments, **options)
        if not struck and (step != "open" or ".partial" in str(arguments[0])):
            struck.append(True)
            raise KeyboardInterrupt
        return real(*arguments, **options) if step == "unlink" else result

    monkeypatch.setattr(owner, step, strike)

    def write() -> None:
        with atomic_output(tmp_path / "a") as file:
            file.write(b"whole")

    with pytest.raises(KeyboardInterrupt):
        write()
    assert struck
    assert not list(tmp_path.glob(".*"))


def test_why_nothing_can_be_written_is_said_where_nothing_can_be_removed_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read-only file system refuses to remove even what is not there."""

    def refuse(*arguments: object, **options: object) -> NoReturn:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(files, "create_locked", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    with (
        pytest.raises(OutputError, match=r"x\.bin: cannot write there: Read-only file system"),
        atomic_output(tmp_path / "x.bin"),
    ):
        pass


def test_a_folder_that_goes_away_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    output = atomic_output(folder / "x.bin")
    output.__enter__().write(b"bytes")
    shutil.rmtree(folder)
    with pytest.raises(OutputError, match=r"gone/x\.bin: cannot write there: No such file"):
        output.__exit__(None, None, None)


def test_a_link_to_itself_costs_itself_alone(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "loop.wav").symlink_to("loop.wav")
    (tmp_path / "x.wav").touch()
    found = search_folder(tmp_path, AUDIO_SUFFIXES, recursive=True)
    assert found.files == [tmp_path / "loop.wav", tmp_path / "x.wav"]
