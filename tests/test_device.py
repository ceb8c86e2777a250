"""The device that is chosen unless one is named: a GPU if torch can use it, told without torch."""

import sys
from pathlib import Path

import pytest
import torch

from encodec_cli.errors import UsageError
from encodec_cli.model.device import automatic_device, check_device

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="looks for drivers as files")


@pytest.fixture
def drivers(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The files of drivers that are there: those that a test puts in; no variable hides a GPU."""
    there: set[str] = set()
    monkeypatch.setattr(Path, "exists", lambda path: str(path) in there)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return there


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What torch answers, if it is asked; each answer is used up."""
    answers: list[bool] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: answers.pop())
    return answers


@pytest.mark.usefixtures("drivers")
def test_without_a_driver_torch_is_not_asked(asked: list[bool]) -> None:
    asked.append(True)
    assert automatic_device() == "cpu"
    assert asked == [True]


@pytest.mark.parametrize(
    "driver", ["/proc/driver/nvidia", "/dev/nvidiactl", "/dev/nvhost-gpu", "/dev/dxg", "/dev/kfd"]
)
@pytest.mark.parametrize("usable", [True, False])
def test_with_a_driver_torch_decides(
    drivers: set[str], asked: list[bool], driver: str, usable: bool
) -> None:
    drivers.add(driver)
    asked.append(usable)
    assert automatic_device() == ("cuda" if usable else "cpu")
    assert asked == []


@pytest.mark.parametrize(("hidden", "expected"), [("", "cpu"), ("-1", "cpu"), ("0", "cuda")])
def test_a_gpu_may_be_hidden(
    drivers: set[str],
    asked: list[bool],
    monkeypatch: pytest.MonkeyPatch,
    hidden: str,
    expected: str,
) -> None:
    drivers.add("/dev/nvidiactl")
    asked.append(True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert automatic_device() == expected


@pytest.mark.parametrize("name", ["cpu", "cuda", "cuda:1", "mps", "xpu"])
def test_devices_that_code(name: str) -> None:
    check_device(name)
    check_device(torch.device(name))


@pytest.mark.parametrize(
    "name", ["meta", "cpu:1", "cuda:", "cuda:x", "", "gpu", "CUDA", "cuda:1\n"]
)
def test_other_devices_are_refused_by_name(name: str) -> None:
    with pytest.raises(UsageError, match="no device that codes; give cpu, cuda"):
        check_device(name)
