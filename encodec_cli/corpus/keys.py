"""Names of items: made from the corpus' own, and no two the same.

    talks/anna.v2.flac   ->  talks/anna_v2
    the same once more   ->  talks/anna_v2-2
    from 12.5 s on       ->  talks/anna_v2-0012500

Outputs name files, and members of archives, by them: so they are relative paths of printable
characters, without dots, since WebDataset ends keys at a dot.
"""

import hashlib
import re

from encodec_cli.io.text import printable

__all__ = ["Keys", "key_of_name", "key_of_path", "key_of_time"]

_MOST_PART_BYTES = 180
_MOST_PARTS = 16
_HASH_DIGITS = 12
_DRIVE = re.compile("[A-Za-z]:")


def key_of_path(path: str, *, keep_suffix: bool = False) -> str:
    """The key of a recording by the name of its file, which may have folders before it.

    Folders above (`..`) and the root are left out.
    """
    folder, slash, name = path.rpartition("/")
    stem, dot, _ = name.rpartition(".")
    return key_of_name(f"{folder}{slash}{stem if dot and stem and not keep_suffix else name}")


def key_of_name(name: str) -> str:
    """The key of an item that the corpus calls `name`."""
    parts = [part for part in name.split("/") if part not in ("", ".", "..")]
    parts = [_plain(part) for part in parts if _DRIVE.fullmatch(part) is None]
    return "/".join(parts[-_MOST_PARTS:]) or "item"


def key_of_time(key: str, seconds: float) -> str:
    """The key of a part of `key` that begins after `seconds`."""
    return key if seconds == 0 else f"{key}-{round(1000 * seconds):07d}"


def _plain(part: str) -> str:
    plain = printable(part).replace(".", "_").replace("\\", "_")
    if len(plain.encode()) <= _MOST_PART_BYTES:
        return plain
    digest = hashlib.sha256(plain.encode()).hexdigest()[:_HASH_DIGITS]
    kept = plain.encode()[: _MOST_PART_BYTES - _HASH_DIGITS - 1].decode(errors="ignore")
    return f"{kept}-{digest}"


class Keys:
    """Those given out so far: of equal ones, the second gets `-2` at its end, and so on."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._last: dict[str, int] = {}

    def unique(self, key: str) -> str:
        """`key`, or what it becomes because an item before has it."""
        if key in self._taken:
            number = self._last.get(key, 1) + 1
            while f"{key}-{number}" in self._taken:
                number += 1
            self._last[key] = number
            key = f"{key}-{number}"
        self._taken.add(key)
        return key
