"""Lines for people: folded at words on a terminal, one line each everywhere else."""

import pytest
from rich.cells import cell_len

from encodec_cli.cli import console

LINE = (
    "batch/mu05_solo_trumpet.flac -> coded/mu05_solo_trumpet.ecdc: 5.33 s, stereo to mono, "
    "2,626 bytes, 3.94 kb/s"
)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(console, "_is_terminal", lambda stream: True)
    return monkeypatch


@pytest.mark.parametrize("columns", [20, 40, 79, 80, 300])
@pytest.mark.parametrize("text", [LINE, "", "a  b", "日本語のファイル名.wav -> 日本語.ecdc: 3 s"])
def test_terminals_get_whole_words(
    columns: int, text: str, terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal.setenv("COLUMNS", str(columns))
    for tell in (console.say, console.warn):
        tell(text)
        said = capsys.readouterr().err
        start = "" if tell is console.say else "encodec-cli: warning: "
        assert said.replace("\n  ", " ") == f"{start}{text}\n"
        longest = max(map(cell_len, text.split(" ")))
        for number, line in enumerate(said.splitlines()):
            taken = len(start) if number == 0 else 2
            assert cell_len(line) <= max(columns, taken + longest + len(" s,"))


def test_numbers_stay_with_what_they_count(
    terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for columns in range(40, 110):
        terminal.setenv("COLUMNS", str(columns))
        console.say(LINE)
        lines = capsys.readouterr().err.splitlines()
        assert not any(line[-1].isdigit() for line in lines)


def test_files_and_pipes_get_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    console.say(LINE)
    assert capsys.readouterr().err == f"{LINE}\n"
