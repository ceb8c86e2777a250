"""How many cores we may use: those of the scheduler, and no more than the cgroup pays for."""

import os
from pathlib import Path

import pytest

from encodec_cli.io import cores


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cgroup file system, on a machine with 8 cores for this process."""
    monkeypatch.setattr(cores, "_CGROUP", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("max 100000\n", 8),
        ("200000 100000\n", 2),
        ("100000 100000\n", 1),
        ("350000 100000\n", 4),
        ("10000 100000\n", 1),  # a tenth of a core
        ("9900000 100000\n", 8),
        ("100000 0\n", 8),
        ("nonsense\n", 8),
        ("", 8),
    ],
)
def test_version_2(cgroup: Path, content: str, expected: int) -> None:
    (cgroup / "cpu.max").write_text(content)
    assert cores.usable_cores() == expected


@pytest.mark.parametrize(
    ("quota", "expected"), [("-1", 8), ("300000", 3), ("50000", 1), ("", 8), ("0", 8)]
)
def test_version_1(cgroup: Path, quota: str, expected: int) -> None:
    (cgroup / "cpu").mkdir()
    (cgroup / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (cgroup / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert cores.usable_cores() == expected


def test_without_a_cgroup_the_scheduler_says(cgroup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cores.usable_cores() == 8
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3})
    assert cores.usable_cores() == 1
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert cores.usable_cores() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores.usable_cores() == 1


def test_this_machine_has_some() -> None:
    assert 1 <= cores.usable_cores() <= (os.cpu_count() or 1)
