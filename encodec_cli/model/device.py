"""Which device to code on, found out without importing torch where there is only a CPU."""

import ctypes.util
import os
import sys
from pathlib import Path

__all__ = ["automatic_device"]


def automatic_device() -> str:
    """ "cuda" if torch finds a GPU it can use, else "cpu"."""
    if not _may_have_cuda():
        return "cpu"

    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _may_have_cuda() -> bool:
    """Whether a driver of NVIDIA's or AMD's is installed; without one torch finds no GPU."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1"):
        return False
    if sys.platform == "win32":
        return ctypes.util.find_library("nvcuda") is not None
    # The kernel's driver, the one of Windows that WSL passes on, AMD's.
    drivers = ("/proc/driver/nvidia", "/dev/nvidiactl", "/dev/nvhost-gpu", "/dev/dxg", "/dev/kfd")
    return any(Path(driver).exists() for driver in drivers)
