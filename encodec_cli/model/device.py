"""Which device to code on, found out without importing torch where there is only a CPU."""

import ctypes.util
import os
import re
import sys
from pathlib import Path

from encodec_cli.errors import UsageError, parameter
from encodec_cli.io.text import shown

__all__ = ["automatic_device", "check_device"]

_DEVICE = re.compile(r"cpu(:0)?|(cuda|mps|xpu)(:\d{1,3})?")


def check_device(device: object) -> None:
    """Refuse a device by its name, before torch or a model is loaded.

    torch knows many more, such as "meta", on which nothing is computed.

    Raises:
        UsageError: not one that codes.
    """
    if not _DEVICE.fullmatch(str(device)):
        name = parameter("device", shown(str(device))[1:-1])
        raise UsageError(f"{name}: no device that codes; give cpu, cuda, cuda:1, mps, xpu or auto")


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
