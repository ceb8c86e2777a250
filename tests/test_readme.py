"""The README tells the truth: its commands are CI's, its Python runs, its links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_python_snippets_run(number: int, tmp_path: Path) -> None:
    code = f"import torch; torch.set_num_threads(1)\n{blocks('python')[number]}"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_ci_runs_both_set_up_commands_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    set_up = [
        line for block in blocks("sh") for line in block.splitlines() if "pip install" in line
    ]
    assert len(set_up) == 2
    for line in set_up:
        assert line in script


def test_commands_of_the_readme_exist() -> None:
    from typer.testing import CliRunner

    from encodec_cli.cli.app import app

    commands = set(re.findall(r"encodec-cli ([a-z]+) ", README))
    assert {"encode", "decode", "info", "roundtrip", "train"} <= commands
    for command in commands:
        result = CliRunner().invoke(app, [command, "--help"])
        assert result.exit_code == 0, command


def test_links_of_the_readme_exist() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link
