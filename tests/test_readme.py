"""The documents tell the truth: commands and Python run in a clean clone, links lead somewhere.

In README.md and docs/, blocks of `sh` and `python` run as they stand, page by page from top to
bottom, in a folder that has what a clone has. Blocks of `console` need hardware, the network or
other people's weights: of them only commands and options are checked.
"""

import csv
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from cases import mostly_slow
from cli_samples import REPOSITORY, environment, run

from encodec_cli.cli.app import app

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
DOCUMENTS = [
    *PAGES,
    *(REPOSITORY / name for name in ("CONTRIBUTING.md", "CHANGELOG.md")),
    *(REPOSITORY / name / "README.md" for name in ("benchmarks", "checkpoints", "samples")),
]
IN_A_CLONE = ("samples", "configs", "checkpoints", "benchmarks")
SHELL = 'encodec-cli() { python -m encodec_cli "$@"; }\nset -o pipefail\n'
# Of two seconds at least that each takes: the network, or the installation.
NOT_RUN = ("pip install", "scripts/check")


def name_of(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


def blocks(text: str, language: str) -> list[str]:
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", block, flags=re.MULTILINE) for indent, block in found]


def lines(page: Path, language: str) -> Iterator[str]:
    """Commands of the blocks of `language`, without what follows a `#`."""
    for block in blocks(page.read_text(encoding="utf-8"), language):
        for line in block.splitlines():
            command = line.split(" #")[0].strip()
            if command and not command.startswith(NOT_RUN):
                yield command


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder that has what a clone has."""
    for name in IN_A_CLONE:
        (tmp_path / name).symlink_to(REPOSITORY / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", [page for page in PAGES if any(lines(page, "sh"))], ids=name_of)
@pytest.mark.slow
def test_commands_run_in_a_clean_clone(page: Path, clone: Path) -> None:
    for line in lines(page, "sh"):
        if line.startswith("encodec-cli ") and not re.search(r"[|<>*&]", line):
            result = run(*shlex.split(line)[1:])
            assert result.code == 0, f"{line}\n{result.text}"
        else:
            done = subprocess.run(
                ["bash", "-c", SHELL + line],
                cwd=clone,
                env=environment(),
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, f"{line}\n{done.stderr}"


@pytest.mark.parametrize(
    "page",
    mostly_slow(page for page in PAGES if blocks(page.read_text("utf-8"), "python")),
    ids=name_of,
)
def test_python_runs_in_a_clean_clone(page: Path, clone: Path) -> None:
    for block in blocks(page.read_text(encoding="utf-8"), "python"):
        exec(compile(block, name_of(page), "exec"), {"__name__": "snippet"})


COMMANDS = [
    (page, part.strip())
    for page in DOCUMENTS
    for language in ("sh", "console")
    for line in lines(page, language)
    for part in re.split(r"\|\|?|&&|>", line)
    if part.strip().startswith("encodec-cli ")
]


@pytest.mark.parametrize(
    ("page", "command"), COMMANDS, ids=[f"{name_of(page)}: {line}" for page, line in COMMANDS]
)
def test_commands_and_their_options_exist(page: Path, command: str) -> None:
    found, arguments = typer.main.get_command(app), shlex.split(command)[1:]
    while arguments and arguments[0] in getattr(found, "commands", {}):
        found = found.commands[arguments.pop(0)]
    assert not hasattr(found, "commands") or arguments[0].startswith("--"), "no such command"
    context = found.context_class(found)
    found.make_parser(context).parse_args(arguments)  # raises for an option that does not exist


def options_of(group: object) -> set[str]:
    own = {option for each in group.params for option in (*each.opts, *each.secondary_opts)}
    return own.union(*(options_of(each) for each in getattr(group, "commands", {}).values()))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_options_that_are_named_exist(page: Path) -> None:
    """In text and tables: what stands in backticks after the name of a command, or alone."""
    text = page.read_text(encoding="utf-8")
    commands = "|".join(typer.main.get_command(app).commands)
    named = re.findall(rf"`(?:encodec-cli )?(?:{commands}) [^`]*`|`--[^`]+`", text)
    options = {option for code in named for option in re.findall(r"(?<!\S)--[a-z][a-z-]+", code)}
    assert options <= options_of(typer.main.get_command(app)) | {"--help"}


def test_ci_runs_both_set_up_commands_of_the_readme() -> None:
    script = (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8")
    set_up = [
        line
        for block in blocks(README, "sh")
        for line in block.splitlines()
        if "pip install" in line
    ]
    assert len(set_up) == 2
    for line in set_up:
        assert line in script


def headings(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"https?:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in headings(target), link


@pytest.mark.parametrize("name", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_files_that_are_named_exist(name: str) -> None:
    """Files of the package, which these pages name below its folder, and others below the root."""
    text = (REPOSITORY / name).read_text(encoding="utf-8")
    files = set(re.findall(r"(?<![\w/.])(?:[\w.]+/)+[\w-]+\.\w+|(?<=`)\w+/(?=`)", text))
    assert files
    roots = (REPOSITORY, REPOSITORY / "encodec_cli", REPOSITORY / "docs", REPOSITORY / "tests")
    missing = {file for file in files if not any((root / file).exists() for root in roots)}
    assert missing == set()


CODECS = {"ecli_24khz", "ecli_24khz --fit 4", "Opus", "Opus with LACE", "Lyra v2"}
COLUMNS = {
    "PESQ-WB": "pesq",
    "ESTOI": "estoi",
    "SI-SDR": "si_sdr",
    "mel distance": "mel",
    "mel DAC": "mel_dac",
    "STFT DAC": "stft_dac",
}


def quality_rows(text: str) -> Iterator[dict[str, str]]:
    """Rows about codecs at a rate, of tables with the columns of `quality.csv`."""
    for table in re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE):
        rows = [
            [cell.strip(" *") for cell in line.strip("|\n").split("|")]
            for line in table.splitlines()
        ]
        for row in rows[2:]:
            if "kb/s" in rows[0] and row[0] in CODECS:
                yield dict(zip(rows[0][1:], row[1:], strict=True)) | {"codec": row[0]}


@pytest.mark.parametrize("name", ["README.md", "checkpoints/README.md"])
def test_tables_of_quality_have_the_figures_that_the_curves_are_drawn_from(name: str) -> None:
    with (REPOSITORY / "benchmarks" / "quality.csv").open(newline="", encoding="utf-8") as file:
        measured = list(csv.DictReader(file))
    found = list(quality_rows((REPOSITORY / name).read_text(encoding="utf-8")))
    assert len(found) >= 9
    for row in found:
        shown = {COLUMNS[key]: value for key, value in row.items() if key in COLUMNS}
        at_rate = [m for m in measured if (m["codec"], m["kbps"]) == (row["codec"], row["kb/s"])]
        same = [m for m in at_rate if bool(m["pesq"]) == ("pesq" in shown)]
        assert len(same) == 1, row
        for key, value in shown.items():
            assert float(value.removesuffix(" dB")) == float(same[0][key]), (row, key)
