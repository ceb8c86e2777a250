"""The files of `assets`, filled in; everything from outside is escaped here."""

import base64
import hashlib
import html
from functools import lru_cache
from pathlib import Path
from string import Template

from encodec_cli.io.text import printable

__all__ = ["asset", "content_policy", "escaped", "filled"]

_ASSETS = Path(__file__).parent / "assets"


@lru_cache
def asset(name: str) -> str:
    """The text of a file that ships with this package."""
    return (_ASSETS / name).read_text(encoding="utf-8")


def filled(template: str, /, **values: object) -> str:
    """`template` with every $word replaced; values are HTML already."""
    return Template(asset(template)).substitute(values)


def escaped(text: str) -> str:
    """`text`, whatever it holds, as HTML that shows it, also inside attributes."""
    return html.escape(printable(text), quote=True)


def content_policy(script: str) -> str:
    """A Content-Security-Policy: this one script, what the page holds itself, and no network."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "img-src data:; media-src data:"
    )
