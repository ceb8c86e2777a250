"""`doctor`: what a bug report needs, also where parts are broken."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from cli_samples import REPOSITORY, run

from encodec_cli import __version__
from encodec_cli.checkpoints.card import bundled_models
from encodec_cli.diagnosis import doctor
from encodec_cli.dsp.torchaudio_import import import_torchaudio


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


def test_a_checkout_is_said_to_be_one_and_knows_what_it_needs() -> None:
    """Run as `PYTHONPATH=checkout python -m encodec_cli`, with or without an installed copy."""
    facts = report()
    here = f"not installed (running from {REPOSITORY}"
    assert facts["installation"] in ("installed", "editable") or here in facts["installation"]
    assert {"numpy", "torch", "typer"} <= facts["versions"].keys()
    assert not [line for line in facts["problems"] if "PackageNotFound" in line]


def package_alone(folder: Path) -> Path:
    """The package's files in `folder`, by link, without the checkout around them."""
    folder.mkdir()
    shutil.copytree(REPOSITORY / "encodec_cli", folder / "encodec_cli", copy_function=os.symlink)
    # Links would lead `resolve` back into the checkout.
    module = folder / "encodec_cli" / "diagnosis" / "installation.py"
    module.unlink()
    shutil.copy(REPOSITORY / "encodec_cli" / "diagnosis" / "installation.py", module)
    return folder


def installation_in(folder: Path, *others: Path) -> str:
    """What the copy in `folder` says of itself, with `others` on the path after it."""
    code = (
        "from encodec_cli.diagnosis.installation import *\n"
        "print(installation())\n"
        "try: print(*map(','.join, dependencies()))\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    # -S: whatever this Python has installed stays out of it.
    return subprocess.run(
        [sys.executable, "-S", "-c", code],
        cwd="/",
        env={"PYTHONPATH": os.pathsep.join(map(str, (folder, *others)))},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def install_metadata(folder: Path, version: str) -> Path:
    """What pip leaves of a wheel of ours in `folder`."""
    info = folder / f"encodec_cli-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.4\nName: encodec-cli\nVersion: {version}\n"
        "Requires-Dist: numpy>=1\n"
        'Requires-Dist: encodec-cli[eval]; extra == "test"\n'
        'Requires-Dist: pesq; extra == "eval"\n'
    )
    return info


def test_a_copied_package_says_what_it_does_not_know(tmp_path: Path) -> None:
    text = installation_in(package_alone(tmp_path / "alone"))
    assert text.startswith(f"not installed (running from {tmp_path / 'alone'})\n")
    assert "EncodecCliError not installed, and no pyproject.toml" in text


def test_an_installed_package_is_read_from_its_metadata(tmp_path: Path) -> None:
    site = package_alone(tmp_path / "site-packages")
    install_metadata(site, "0.1.0")
    assert installation_in(site) == "installed\nnumpy pesq\n"


def test_another_installed_copy_is_not_taken_for_this_one(tmp_path: Path) -> None:
    site = tmp_path / "site-packages"
    install_metadata(site, "0.0.9")
    text = installation_in(package_alone(tmp_path / "alone"), site)
    assert f"(running from {tmp_path / 'alone'}; 0.0.9 is installed in {site})" in text


def test_an_editable_installation_is_told_from_an_older_one(tmp_path: Path) -> None:
    site = tmp_path / "site-packages"
    info = install_metadata(site, "0.1.0")
    here = package_alone(tmp_path / "here")
    origin = {"url": here.as_uri(), "dir_info": {"editable": True}}
    (info / "direct_url.json").write_text(json.dumps(origin))
    assert installation_in(here, site).startswith("editable\n")
    elsewhere = package_alone(tmp_path / "elsewhere")
    assert installation_in(elsewhere, site).startswith("not installed")


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
