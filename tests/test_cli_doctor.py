"""`doctor`: what a bug report needs, also where parts are broken."""

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from cli_samples import run

from encodec_cli import __version__, doctor
from encodec_cli.model_file import bundled_models
from encodec_cli.torchaudio_import import import_torchaudio


def report() -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(run("doctor", "--json").text)
    return facts


def test_json_has_all_facts() -> None:
    facts = report()
    assert facts["encodec_cli"]["version"] == __version__
    assert facts["python"]["version"] == ".".join(map(str, sys.version_info[:3]))
    assert facts["versions"]["torch"] == torch.__version__
    for name in ("torchaudio", "soundfile", "libsndfile", "numpy", "soxr", "safetensors"):
        assert facts["versions"][name][0].isdigit(), name
    assert facts["cpu"]["capability"] == torch.backends.cpu.get_cpu_capability()
    assert facts["cpu"]["threads"] == torch.get_num_threads()
    assert facts["devices"].keys() >= {"cpu"}
    assert any(name.startswith("cuda") for name in facts["devices"]) == torch.cuda.is_available()
    assert list(facts["models"]) == bundled_models()
    assert facts["optional"]["pytest"] == pytest.__version__
    assert not facts["optional"].keys() & facts["versions"].keys()


def test_paths_are_those_in_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ENCODEC_CLI_CACHE", str(tmp_path))
    paths = report()["paths"]
    assert Path(paths["bundled configs"], "encodec_24khz.yaml").is_file()
    assert Path(paths["pulled models"]).is_relative_to(tmp_path)
    assert list(tmp_path.iterdir()) == []  # looking makes nothing


def test_torchaudio_is_said_to_load_as_it_does() -> None:
    import_torchaudio()
    stand_in = "Stand-in" in (sys.modules["torchaudio._extension"].__doc__ or "")
    facts = report()["torchaudio"]
    assert facts.pop("import") == ("with our stand-in" if stand_in else "ordinary")
    assert set(facts.values()) == {True}


def test_the_text_says_the_same() -> None:
    text = run("doctor").text
    facts = report()
    for value in (
        *facts["versions"].values(),
        *facts["paths"].values(),
        facts["cpu"]["capability"],
    ):
        assert value in text
    assert "functional.resample loads" in text


def test_broken_parts_are_reported_not_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> ModuleType:
        raise OSError("libtorch.so:\nundefined symbol")

    monkeypatch.setattr(doctor, "import_torchaudio", broken)
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "soxr" else "1")
    monkeypatch.setattr(doctor, "bundled_models", list)
    result = run("doctor", "--json")
    facts = json.loads(result.text)
    assert result.code == 1
    assert facts["torchaudio"] == "OSError: libtorch.so: undefined symbol"
    assert facts["problems"] == [
        "soxr: not installed",
        "torchaudio: OSError: libtorch.so: undefined symbol",
        "models: the default model ecli_24khz is not among the bundled ones",
    ]
    text = run("doctor")
    assert text.code == 1
    assert [line for line in text.stderr.splitlines() if "problem: soxr: not installed" in line]


def test_the_exit_code_says_whether_there_are_problems() -> None:
    result = run("doctor", "--json")
    assert result.code == bool(json.loads(result.text)["problems"])
