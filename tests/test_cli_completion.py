"""What the shell offers after Tab: names of models, and files of the kinds a command takes."""

import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_samples import PATIENCE_SECONDS, command, environment, run

from encodec_cli.checkpoints.published import PUBLISHED, pulled_path
from encodec_cli.cli.completion import (
    complete_files,
    complete_language_models,
    complete_models,
    complete_published,
)


@pytest.fixture
def pulled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a published model into an empty cache, as far as completion looks."""
    monkeypatch.setenv("ENCODEC_CLI_CACHE", str(tmp_path / "cache"))

    def put(name: str) -> None:
        path = pulled_path(PUBLISHED[name])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    return put


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tree = tmp_path / "tree"
    (tree / "talks" / "deep").mkdir(parents=True)
    (tree / "talks" / "deep" / "a.wav").touch()
    for name in ("b.WAV", "b.txt", ".hidden.wav"):
        (tree / name).touch()
    monkeypatch.chdir(tree)
    return tree


def test_names_of_models_go_before_files(tree: Path, pulled: Callable[[str], None]) -> None:
    for name in ("encodec_my.th", "encodec_24.bin"):
        (tree / name).touch()
    assert complete_models("encodec_") == ["encodec_24.bin", "encodec_my.th"]
    pulled("encodec_24khz")
    pulled("encodec_lm_48khz")
    assert complete_models("encodec_") == ["encodec_24khz"]
    assert complete_models("encodec_m") == ["encodec_my.th"]
    assert complete_models("./encodec_24") == ["./encodec_24.bin"]
    assert complete_models("ec") == ["ecli_24khz"]
    assert complete_language_models("") == ["encodec_lm_48khz"]
    assert complete_language_models("encodec_m") == ["encodec_my.th"]
    assert complete_published("encodec_lm") == ["encodec_lm_24khz", "encodec_lm_48khz"]


def test_files_are_completed_by_suffix(tree: Path) -> None:
    complete: Callable[[str], list[str]] = complete_files(frozenset({".wav"}))
    assert complete("") == ["b.WAV", "talks/"]
    assert complete("b") == ["b.WAV"]
    assert complete(".h") == [".hidden.wav"]
    assert complete(f"{tree}/b") == [f"{tree}/b.WAV"]
    assert complete("nowhere/x") == []
    # A single candidate would make the shell close the word after the folder.
    assert complete("t") == ["talks/", "talks/deep/"]
    assert complete("talks/deep/") == ["talks/deep/a.wav"]


@pytest.mark.slow
def test_bash_gets_candidates(tree: Path, pulled: Callable[[str], None]) -> None:
    """The script that --install-completion installs, in a real bash."""
    pulled("encodec_24khz")
    pulled("encodec_lm_24khz")
    (tree / "encodec_files").mkdir()
    script = run(environment={"_ENCODEC_CLI_COMPLETE": "source_bash"}).ok().text
    # The script runs its first argument, cut at line ends: here, Python with this package.
    program = shlex.quote("\n".join(command()))
    expected = {
        f"encode {tree}/b": f"{tree}/b.WAV",
        "encode b.WAV --model enc": "encodec_24khz",
        "encode b.WAV --model encodec_f": "encodec_files/",
        "decode b.ecdc --lm enc": "encodec_lm_24khz",
        "models show enc": "encodec_24khz",
        "models convert enc": "encodec_24khz",
        "models pull encodec_3": "encodec_32khz",
    }
    for line in expected:
        script += f"""
            COMP_WORDS=(encodec-cli {line}); COMP_CWORD={line.count(" ") + 1}
            _encodec_cli_completion {program}; echo "${{COMPREPLY[@]}}"
        """
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.stdout.splitlines() == list(expected.values()), done.stderr
