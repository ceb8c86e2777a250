"""torchaudio's pure-Python functions, whether or not its compiled part fits this torch.

The torchaudio wheel on the package index is built for CUDA: beside CPU-only torch its extension
does not load (OSError), beside a newer CUDA torch it refuses to (RuntimeError). What this package
uses, `functional.resample`, `functional.melscale_fbanks` and `transforms`, is written in Python and
needs no extension. Only `torchaudio._extension` stands in the way, so it gets a stand-in that says
"not available", as in a torchaudio that was built without it.
"""

import importlib
import sys
from types import ModuleType, TracebackType
from typing import NoReturn

from encodec_cli.errors import EncodecCliError

__all__ = ["import_torchaudio"]

_EXTENSION = "torchaudio._extension"


def import_torchaudio() -> ModuleType:
    """The module `torchaudio`; of it, use only what is pure Python (never `load` or `save`).

    Raises:
        EncodecCliError: torchaudio is not installed.
        Exception: whatever else its import raises, as it is.
    """
    try:
        return importlib.import_module("torchaudio")
    except ModuleNotFoundError as error:
        if error.name != "torchaudio":
            raise
        raise EncodecCliError(
            "torchaudio is not installed, and training needs it; run: pip install torchaudio"
        ) from error
    except (OSError, RuntimeError) as error:
        if not _raised_inside_extension(error.__traceback__):
            raise
    _forget_torchaudio()
    sys.modules[_EXTENSION] = _extension_stand_in()
    try:
        return importlib.import_module("torchaudio")
    except BaseException:
        _forget_torchaudio()
        raise


def _raised_inside_extension(traceback: TracebackType | None) -> bool:
    while traceback is not None:
        module = str(traceback.tb_frame.f_globals.get("__name__", ""))
        if module == _EXTENSION or module.startswith(f"{_EXTENSION}."):
            return True
        traceback = traceback.tb_next
    return False


def _forget_torchaudio() -> None:
    """Drop what a failed import leaves, lest the next one finds half-made modules."""
    for name in list(sys.modules):
        if name == "torchaudio" or name.startswith("torchaudio."):
            del sys.modules[name]


def _extension_stand_in() -> ModuleType:
    """What the rest of torchaudio imports from its extension package, all of it unavailable."""

    def load_no_library(library: str) -> bool:
        return False

    def fail_if_no_align(function: object) -> object:
        def fail(*arguments: object, **options: object) -> NoReturn:
            raise RuntimeError("forced alignment needs torchaudio's extension, which did not load")

        return fail

    stand_in = ModuleType(_EXTENSION, "Stand-in made by encodec-cli: no compiled extension.")
    stand_in.__dict__.update(
        _IS_TORCHAUDIO_EXT_AVAILABLE=False,
        _IS_ALIGN_AVAILABLE=False,
        _load_lib=load_no_library,
        fail_if_no_align=fail_if_no_align,
    )
    return stand_in
