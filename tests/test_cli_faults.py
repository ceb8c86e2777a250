"""Hostile options, names and streams: an exit code and one line, whatever they are."""

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import typer.main
from cases import mostly_slow
from cli_samples import RATE, command, environment, process, run, shell, write_audio

from encodec_cli.cli.app import app
from encodec_cli.cli.process import Stopped, StopSignals

VALUES = [
    *("nan", "inf", "-inf", "1e308", "1.7976931348623157e308", "5e-324", "-1e308", "0", "-0.0"),
    *("-1", "1e400", "9" * 400, "9" * 5000, "99999999999", "-99999999999", "1e-300", "x", ""),
    *("0x10", "1_0", "1e5", "\u0663", "1,2", "1:2", "::", "99:99:99", "\x1b[2J"),
]
DEVICES = [
    "meta",
    "gpu",
    "",
    "cpu:99999",
    "cuda:-1",
    "fake",
    "hip",
    "vulkan",
    "xla",
    "a\nb",
    "9" * 99,
]
NUMERIC = (
    "bandwidth",
    "n_q",
    "latency",
    "search",
    "fit",
    "threads",
    "sample_rate",
    "start",
    "duration",
)


def numeric_options() -> list[tuple[str, str]]:
    """Commands and options of theirs that take numbers, also as text."""
    group: Any = typer.main.get_command(app)
    found = []
    for name in ("encode", "decode", "peel", "tokens"):
        for parameter in group.commands[name].params:
            number = parameter.type.name.startswith(("integer", "float"))
            if parameter.param_type_name == "option" and (number or parameter.name in NUMERIC):
                found.append((name, parameter.opts[0]))
    return found


@pytest.fixture(scope="module")
def wav(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_audio(tmp_path_factory.mktemp("wav") / "a.wav", RATE // 4)


@pytest.fixture(scope="module")
def coded(wav: Path, mono: Path) -> Path:
    run("encode", wav, wav.with_name("a.ecdc"), "-m", mono).ok()
    return wav.with_name("a.ecdc")


def test_there_are_options_to_try() -> None:
    assert {option for _, option in numeric_options()} >= {
        *("--bandwidth", "--n-q", "--latency", "--search", "--fit", "--threads"),
        *("--sample-rate", "--start", "--duration", "--shard-size"),
    }


@pytest.mark.parametrize(("name", "option"), mostly_slow(numeric_options(), 0))
def test_any_value_of_a_number_is_used_or_refused_in_one_line(
    name: str, option: str, wav: Path, coded: Path, mono: Path, tmp_path: Path
) -> None:
    for number, value in enumerate(VALUES):
        target = tmp_path / str(number)
        where: dict[str, list[Any]] = {
            "encode": ["encode", wav, f"{target}.ecdc", "-m", mono],
            "decode": ["decode", coded, f"{target}.wav", "-m", mono],
            "peel": ["peel", coded, f"{target}.ecdc"],
            "tokens": ["tokens", coded, "-o", target, "--to", "webdataset"],
        }
        result = run(*where[name], f"{option}={value}")
        assert result.code in (0, 1, 2), (value, result)
        if result.code:
            said = result.stderr.strip().splitlines()
            assert result.code == 2, (value, result)
            assert len(said) == 1 or "Usage:" in result.stderr
            assert "\x1b" not in result.stderr
            assert not list(tmp_path.glob(f"{number}*.*"))


@pytest.mark.parametrize("device", DEVICES)
def test_devices_that_do_not_code_are_one_short_line(
    device: str, wav: Path, mono: Path, tmp_path: Path
) -> None:
    result = run("encode", wav, tmp_path / "a.ecdc", "-m", mono, "--device", device)
    [line] = result.refused(2, "--device").errors
    assert len(line) < 160
    assert "no device that codes; give cpu, cuda" in line


HOSTILE = "a\u009b2J\u202eb\u2066c\x1b[2J\u00e9\U0001f600.ecdc"


def test_json_is_one_line_of_ascii_whatever_names_hold(coded: Path, tmp_path: Path) -> None:
    path = tmp_path / HOSTILE
    path.write_bytes(coded.read_bytes())
    result = run("info", path, "--json").ok()
    assert result.stdout.isascii()
    assert result.text.count("\n") == 1
    assert result.text.strip().isprintable()
    assert json.loads(result.text)["source"] == str(path)


PRINTING = [
    ["info", "CODED"],
    ["encode", "WAV", "-", "-m", "MODEL"],
    ["info", "CODED", "--json"],
    ["verify", "CODED"],
    ["models", "list"],
    ["models", "list", "--json"],
    ["models", "show", "MODEL"],
    ["models", "show", "MODEL", "--json"],
    ["encode", "WAV", "new.ecdc", "-m", "MODEL", "--json"],
    ["decode", "CODED", "new.wav", "-m", "MODEL", "--json"],
    ["tokens", "CODED", "--to", "npz", "-o", "out", "--json"],
    ["decode", "CODED", "-", "-m", "MODEL"],
    ["peel", "CODED", "-", "--n-q", "1"],
]


@pytest.mark.parametrize("arguments", mostly_slow(PRINTING, 2), ids=" ".join)
def test_a_closed_standard_output_is_said(
    arguments: list[str], wav: Path, coded: Path, mono: Path, tmp_path: Path
) -> None:
    places = {"CODED": str(coded), "WAV": str(wav), "MODEL": str(mono)}
    line = " ".join(places.get(word, word) for word in arguments)
    said = shell(f"cd {tmp_path} && {' '.join(command())} {line} >&-")
    assert said.returncode == 1, said.stderr
    assert b"stdout: is closed" in said.stderr
    assert b"Traceback" not in said.stderr


@pytest.mark.parametrize("closed", mostly_slow(["<&- >&- 2>&-", "2>&-", "<&-"]))
def test_other_streams_may_be_closed(closed: str, wav: Path, mono: Path, tmp_path: Path) -> None:
    """And nothing that is printed gets into a file that has taken their place."""
    target = tmp_path / "a.ecdc"
    line = " ".join(command("encode", wav, target, "-m", mono))
    said = shell(f"{line} {closed}")
    assert said.returncode == 0
    assert b"Traceback" not in said.stderr
    assert run("verify", target).ok().text.endswith("ok\n")


@pytest.mark.parametrize(
    "line",
    mostly_slow(
        ["info CODED", "info CODED --json", "verify CODED", "peel CODED - --n-q 1", "models list"]
    ),
)
def test_a_full_standard_output_is_an_error(line: str, coded: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    line = line.replace("CODED", str(coded))
    said = shell(f"{' '.join(command())} {line} > /dev/full")
    assert said.returncode == 1
    assert b"No space left" in said.stderr
    assert coded.name.encode() not in said.stderr, "it is not the input that is full"
    assert b"Traceback" not in said.stderr


# Signals


@pytest.mark.parametrize("wait_seconds", [0.0, 0.1, 0.3, 0.6, 1.0, 1.5])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_at_any_moment_is_death_by_it(
    number: signal.Signals, wait_seconds: float, tmp_path: Path, mono: Path
) -> None:
    """Before the first byte of input: at the start, in imports, as weights load, waiting."""
    if number != signal.SIGINT and wait_seconds not in (0.3, 1.0):
        pytest.skip("a few moments will do for the others")
    with process("encode", "-", tmp_path / "a.ecdc", "-m", mono) as child:
        time.sleep(wait_seconds)
        child.send_signal(number)
        assert child.wait(60) == -number
        assert child.stderr is not None
        said = child.stderr.read()
    # Python itself needs a moment before it runs anything of ours.
    assert wait_seconds < 0.3 or b"Traceback" not in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("turned_into", ["ValueError", "nothing"])
def test_foreign_code_cannot_hide_a_signal(turned_into: str) -> None:
    """As Rust's bindings do, which make other exceptions of those that reach their callbacks."""
    program = f"""
import os, signal, sys, time
sys.argv = ["encodec-cli", "models", "list"]
from encodec_cli import __main__ as program
from encodec_cli.cli import models
import encodec_cli.cli.app
def loading(*arguments):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    except BaseException:
        if {turned_into!r} == "ValueError":
            raise ValueError("callback failed") from None
    time.sleep(30)
    print("went on")
program._run = loading
program.main()
"""
    started = time.monotonic()
    done = subprocess.run(
        [*command()[:1], "-c", program], capture_output=True, env=environment(), timeout=60
    )
    assert done.returncode == -signal.SIGTERM
    assert b"Traceback" not in done.stderr
    assert b"went on" not in done.stdout
    assert time.monotonic() - started < 30


def test_a_second_signal_does_not_stop_cleaning_up() -> None:
    signals = StopSignals()
    error = None
    try:
        signals._arrived(signal.SIGTERM, None)
    except Stopped as stopped:
        error = stopped
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    assert error is not None
    signals._arrived(signal.SIGINT, None)  # raises nothing while the first is on its way


def test_a_signal_in_a_finalizer_is_not_lost() -> None:
    program = """
import os, signal, sys, time
from encodec_cli import __main__ as program
class Finalized:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
def run():
    Finalized()
    time.sleep(30)
program._run = run
program.main()
"""
    done = subprocess.run(
        [*command()[:1], "-c", program], capture_output=True, env=environment(), timeout=60
    )
    assert done.returncode == -signal.SIGTERM
    assert done.stderr.count(b"\n") == 1
    assert b"nothing half-written is left" in done.stderr


def test_keys_of_a_shard_do_not_follow_links_out_of_the_folder(
    coded: Path, mono: Path, tmp_path: Path
) -> None:
    folder, elsewhere = tmp_path / "in" / "lnk", tmp_path / "elsewhere"
    for made in (folder, elsewhere, tmp_path / "out"):
        made.mkdir(parents=True)
    (folder / "evil.ecdc").write_bytes(coded.read_bytes())
    (tmp_path / "in" / "good.ecdc").write_bytes(coded.read_bytes())
    shards = tmp_path / "shards"
    run("tokens", tmp_path / "in", "-r", "-o", shards, "--to", "webdataset").ok()
    (tmp_path / "out" / "lnk").symlink_to(elsewhere)
    result = run("decode", shards / "tokens-00000.tar", "-o", tmp_path / "out", "-m", mono)
    assert result.code == 1
    assert "evil.wav: a symbolic link leads out of" in result.errors[0]
    assert not list(elsewhere.iterdir())
    assert (tmp_path / "out" / "good.wav").exists()


def test_links_as_targets_of_commands(wav: Path, mono: Path, tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link.ecdc").symlink_to("real")
    arguments = ("encode", wav, tmp_path / "link.ecdc", "-m", mono)
    run(*arguments).refused(1, "link.ecdc: is a symbolic link to real; use --force")
    assert (tmp_path / "real").read_bytes() == b"old"
    run(*arguments, "--force").ok()
    assert (tmp_path / "link.ecdc").is_symlink()
    assert (tmp_path / "real").read_bytes().startswith(b"ECDC")
