"""How this package came here, as an installed distribution or a checkout, and what it needs."""

import importlib.metadata
import json
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from encodec_cli.errors import EncodecCliError

__all__ = ["dependencies", "installation"]

_DISTRIBUTION = "encodec-cli"
_PACKAGE = Path(__file__).resolve().parent.parent
_NAME = re.compile(r"[A-Za-z0-9_.-]+")


def installation() -> str:
    """Whether the running code is the installed one; if not, where it is, and what is installed."""
    try:
        distribution = importlib.metadata.distribution(_DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return f"not installed (running from {_PACKAGE.parent})"
    if _editable(distribution):
        return "editable"
    there = Path(str(distribution.locate_file(_PACKAGE.name))).resolve()
    if there == _PACKAGE:
        return "installed"
    other = f"{distribution.version} is installed in {there.parent}"
    return f"not installed (running from {_PACKAGE.parent}; {other})"


def dependencies() -> tuple[list[str], list[str]]:
    """Names of the packages that this one needs, and of those that its extras add.

    A checkout is asked itself, so that it need not be installed and no older copy speaks for it.

    Raises:
        EncodecCliError: neither installed nor a checkout.
    """
    project = _checkout()
    if project is not None:
        extras = project.get("optional-dependencies", {}).values()
        return _names(project["dependencies"]), _names(line for extra in extras for line in extra)
    try:
        lines = importlib.metadata.requires(_DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        raise EncodecCliError(
            f"not installed, and no pyproject.toml in {_PACKAGE.parent} says what it needs; "
            "install it with pip"
        ) from None
    required = [line for line in lines if "extra ==" not in line]
    return _names(required), _names(line for line in lines if line not in required)


def _checkout() -> dict[str, Any] | None:
    """The `project` table of the checkout that holds this package, None outside of one."""
    try:
        text = (_PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8")
    except OSError:
        return None
    project: dict[str, Any] = tomllib.loads(text).get("project", {})
    return project if project.get("name") == _DISTRIBUTION else None


def _editable(distribution: importlib.metadata.Distribution) -> bool:
    """Whether `distribution` only points to this checkout (PEP 610)."""
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    editable = origin.get("dir_info", {}).get("editable", False)
    return bool(editable and origin["url"] == _PACKAGE.parent.as_uri())


def _names(requirements: Iterable[str]) -> list[str]:
    """Names in lines like `torch>=2.4`, without our own, by which extras include others."""
    found = {match[0] for line in requirements if (match := _NAME.match(line))}
    return sorted(found - {_DISTRIBUTION})
