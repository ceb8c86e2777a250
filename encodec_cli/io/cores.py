"""How many cores this process may use."""

import os
from pathlib import Path

__all__ = ["usable_cores"]

_CGROUP = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """Cores that the scheduler and the cgroup (of a container or a batch system) let us use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = _cgroup_quota()
    return max(1, cores or 1) if quota is None else max(1, min(cores or 1, round(quota)))


def _cgroup_quota() -> float | None:
    """CPU seconds per second that the cgroup allows; None without a limit.

    Inside a container its own limit is at the root of what it sees, in version 2 or 1.
    """
    try:
        quota, period = (_CGROUP / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (_CGROUP / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (_CGROUP / "cpu" / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    try:
        allowed = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):  # "max" is no limit
        return None
    return allowed if allowed > 0 else None
