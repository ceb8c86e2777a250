"""The man page: up to date with the help, complete, and markup that man accepts."""

import importlib.util
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
import typer
from rich.text import Text

from encodec_cli.cli.app import app

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "man" / "encodec-cli.1"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_man", ROOT / "scripts" / "make_man.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(script: ModuleType) -> None:
    written = PAGE.read_text(encoding="utf-8")
    assert written == script.man_page(), "run: python scripts/make_man.py"


def test_every_command_has_a_section_with_its_options(script: ModuleType) -> None:
    page = script.man_page().replace("\\-", "-")
    sections = dict(re.findall(r"^\.SS ([a-z ]+)\n(.*?)(?=^\.S[SH] )", page, re.S | re.M))
    assert {"encode", "decode", "tokens", "models pull", "models list", "train"} <= set(sections)
    assert ".B --bandwidth, -b KBPS\n" in sections["encode"]
    assert ".B --pattern " in sections["decode"]
    assert "Also set by ENCODEC_CLI_MIRROR." in sections["models pull"]
    for name in script.ENVIRONMENT:
        assert f".B {name}\n" in page


def test_help_in_brackets_is_not_taken_for_rich_markup(script: ModuleType) -> None:
    """rich drops [words] from help; defaults in other words belong in `show_default`."""
    root = typer.main.get_command(app)
    texts = {
        f"{name} {parameter.name}": getattr(parameter, "help", None) or ""
        for name, command in script.commands(root, ())
        for parameter in command.params
    }
    texts |= {name: command.help for name, command in script.commands(root, ())}
    assert len(texts) > 100
    assert {name: Text.from_markup(text).plain for name, text in texts.items()} == texts


def test_every_command_has_examples_that_can_be_run(script: ModuleType) -> None:
    """Each names its own command, and its options and values are there."""
    root = typer.main.get_command(app)
    for name, command in script.commands(root, ()):
        paragraphs = command.help.split("\n\n")
        examples = [text for text in paragraphs if text.startswith("Example: ")]
        assert examples, name
        for example in examples:
            words = shlex.split(example.removeprefix("Example: ").partition(" > ")[0])
            own = ["encodec-cli", *name.split()]
            assert words[: len(own)] == own
            command.make_context(name, words[len(own) :])


def test_defaults_are_told(script: ModuleType) -> None:
    page = script.man_page()
    assert "audiocraft's. Default: ecli_24khz." in page.replace("\\-", "-")
    assert "Rates in kb/s, or none; the model's unless given.\n" in page
    assert "Lower the level rather than clip peaks.\n" in page


def test_nothing_of_the_text_is_taken_for_markup(script: ModuleType) -> None:
    assert script.escaped(".ecdc") == "\\&.ecdc"
    assert script.escaped("'-' is \\") == "\\&'\\-' is \\e"
    known = {".TH", ".SH", ".SS", ".B", ".BR", ".I", ".PP", ".TP", ".nf", ".fi", ".RS", ".RE"}
    lines = script.man_page().splitlines()
    assert {line.split()[0] for line in lines if line.startswith((".", "'"))} <= known


@pytest.mark.skipif(
    shutil.which("groff") is None, reason="groff, which formats man pages, is not here"
)
def test_groff_formats_it_without_complaint() -> None:
    done = subprocess.run(
        ["groff", "-man", "-ww", "-Tutf8", "-K", "utf8", str(PAGE)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert "--skip-existing" in done.stdout


def test_the_wheel_installs_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    shared = project["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    assert shared == {"docs/man/encodec-cli.1": "share/man/man1/encodec-cli.1"}
