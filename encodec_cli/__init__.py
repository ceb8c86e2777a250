"""Neural audio coding: SEANet + RVQ models, `.ecdc` files, and the command line over both.

The public names below are imported on first use, so that importing the package costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from encodec_cli.checkpoints.load import load_model
    from encodec_cli.checkpoints.modules import load_module
    from encodec_cli.container import Ecdc, Header, read_ecdc, write_ecdc
    from encodec_cli.errors import EncodecCliError, EncodecCliWarning
    from encodec_cli.model.codec import Codec
    from encodec_cli.model.module import CompressionModel, get_compression_model
    from encodec_cli.stream.decoder import stream_decoder
    from encodec_cli.stream.encoder import stream_encoder
    from encodec_cli.stream.signals import decode, encode

__version__ = "0.1.0"

__all__ = [
    "Codec",
    "CompressionModel",
    "Ecdc",
    "EncodecCliError",
    "EncodecCliWarning",
    "Header",
    "decode",
    "encode",
    "get_compression_model",
    "load_model",
    "load_module",
    "read_ecdc",
    "stream_decoder",
    "stream_encoder",
    "write_ecdc",
]

_MODULES = {
    "Codec": "model.codec",
    "CompressionModel": "model.module",
    "Ecdc": "container",
    "EncodecCliError": "errors",
    "EncodecCliWarning": "errors",
    "Header": "container",
    "decode": "stream.signals",
    "encode": "stream.signals",
    "get_compression_model": "model.module",
    "load_model": "checkpoints.load",
    "load_module": "checkpoints.modules",
    "read_ecdc": "container",
    "stream_decoder": "stream.decoder",
    "stream_encoder": "stream.encoder",
    "write_ecdc": "container",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
