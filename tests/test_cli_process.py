"""What only a process of its own can show: signals, closed pipes, streams of the shell."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from cli_samples import (
    PATIENCE_SECONDS,
    RATE,
    command,
    environment,
    process,
    run,
    shell,
    tone,
    write_audio,
)


@pytest.fixture(scope="module")
def wav(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Ten seconds."""
    return write_audio(tmp_path_factory.mktemp("wav") / "a.wav", 10 * RATE).read_bytes()


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def wait_for(child: "subprocess.Popen[bytes]", folder: Path, least_bytes: int) -> None:
    """Until some file in `folder` has grown to `least_bytes`."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        assert child.poll() is None
        if any(p.stat().st_size >= least_bytes for p in folder.iterdir()):
            return
        time.sleep(0.02)
    pytest.fail("the command does not write")


@pytest.mark.slow
@pytest.mark.parametrize(
    "numbers",
    [
        (signal.SIGINT,),
        (signal.SIGTERM,),
        (signal.SIGHUP,),
        (signal.SIGINT, signal.SIGTERM),
        (signal.SIGKILL,),
    ],
    ids=lambda numbers: "+".join(n.name for n in numbers),
)
def test_a_signal_during_encode_leaves_no_target(
    tmp_path: Path, mono: Path, wav: bytes, numbers: tuple[signal.Signals, ...]
) -> None:
    with process("encode", "-", tmp_path / "a.ecdc", "-m", mono) as child:
        assert child.stdin is not None
        assert child.stderr is not None
        child.stdin.write(wav)
        child.stdin.flush()
        wait_for(child, tmp_path, 1000)
        for number in numbers:
            child.send_signal(number)
        assert -child.wait(PATIENCE_SECONDS) in numbers
        said = child.stderr.read()
    assert not (tmp_path / "a.ecdc").exists()
    if signal.SIGKILL not in numbers:
        assert names(tmp_path) == []
    assert b"Traceback" not in said


@pytest.mark.slow
def test_ignored_signals_stay_ignored(tmp_path: Path, mono: Path, wav: bytes) -> None:
    """As after nohup, and for SIGINT in the background of a script."""

    def ignore() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    target = tmp_path / "a.ecdc"
    with process("encode", "-", target, "-m", mono, preexec_fn=ignore) as child:
        assert child.stdin is not None
        child.stdin.write(wav)
        child.stdin.flush()
        wait_for(child, tmp_path, 1000)
        child.send_signal(signal.SIGINT)
        child.send_signal(signal.SIGHUP)
        child.stdin.close()
        assert child.wait(PATIENCE_SECONDS) == 0
    assert names(tmp_path) == ["a.ecdc"]


@pytest.mark.slow
def test_a_reader_that_leaves(tmp_path: Path, mono: Path, wav: bytes) -> None:
    source = tmp_path / "a.wav"
    source.write_bytes(wav)
    encode = " ".join(command("encode", "-", "-", "-m", mono))
    done = shell(f"set -o pipefail; {encode} < {source} | head -c 10")
    assert done.stdout == b"ECDC\x02" + done.stdout[5:]
    assert len(done.stdout) == 10
    assert done.returncode == 1
    assert done.stderr == b""


@pytest.mark.slow
def test_encode_pipes_into_decode(tmp_path: Path, mono: Path, wav: bytes) -> None:
    source = tmp_path / "a.wav"
    source.write_bytes(wav)
    encode = " ".join(command("encode", "-", "-m", mono, "-q"))
    decode = " ".join(command("decode", "-", "-m", mono, "-q"))
    done = shell(f"set -o pipefail; cat {source} | {encode} | {decode}")
    assert (done.returncode, done.stderr) == (0, b"")
    run("encode", source, "-m", mono).ok()
    files = run("decode", tmp_path / "a.ecdc", "-", "-m", mono).ok()
    assert done.stdout == files.stdout
    assert len(files.stdout) > 2 * len(tone(10))


@pytest.mark.slow
def test_pipes_flow_while_they_last(mono: Path, wav: bytes) -> None:
    """The first chunk comes out before the input has ended."""
    with process("encode", "-", "-", "-m", mono, "-q") as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(wav)
        child.stdin.flush()
        assert len(child.stdout.read(2000)) == 2000
        child.stdin.close()
        child.stdout.read()
        assert child.wait(PATIENCE_SECONDS) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("redirection", "words"),
    [
        ("> /dev/full", "No space left on device"),
        (">&-", "stdout: is closed"),
        ("<&-", "stdin: is closed"),
    ],
)
def test_streams_that_do_not_work(tmp_path: Path, wav: bytes, redirection: str, words: str) -> None:
    packed = tmp_path / "a.ecdc"
    if ">" in redirection:
        from ecdc_samples import file_bytes, make_ecdc, small_header

        packed.write_bytes(file_bytes(make_ecdc(small_header(), 20_000)))
    source = packed if ">" in redirection else "-"
    done = shell(" ".join(command("peel", source, "-", "--n-q", "1")) + f" {redirection}")
    [line] = done.stderr.decode().splitlines()
    assert line.startswith("encodec-cli: error: ")
    assert words in line
    assert done.returncode == 1


@pytest.mark.slow
def test_an_ascii_terminal(tmp_path: Path, mono: Path) -> None:
    source = write_audio(tmp_path / "été.wav", 2000)
    run("encode", source, "-m", mono).ok()
    packed = os.fsdecode(source.with_suffix(".ecdc"))
    poor = environment(LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    done = subprocess.run(command("info", packed), env=poor, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"intact" in done.stdout
    done = subprocess.run(command("info", packed, "--json"), env=poor, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert Path(json.loads(done.stdout)["source"]).name.endswith("t\udcc3\udca9.ecdc")
