"""What trainers wrap a model's tensors in, taken off: mappings around them, prefixes of names.

    {"epoch": 3, "ema": {...}, "model_state_dict": {"module._orig_mod.encoder.model.0...": ...}}
                         one mapping is chosen        prefixes are dropped

A prefix is whatever stands before the encoder's first layer in all names of one model: `module.`
(DataParallel), `_orig_mod.` (torch.compile, also in the middle of a name), `audio_encoder.`
(MusicGen), `codec_model.` (Bark), or any attribute that the codec is of a larger module. Tensors
beside the codec, of a discriminator say, are left out.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from encodec_cli.errors import CheckpointError
from encodec_cli.io.text import printable, shown

__all__ = ["inner_state", "without_prefixes"]

_MOST_LEVELS = 6
# Averaged weights come first: they are what their trainers evaluate and publish.
_EMA = ("ema", "model_ema", "ema_model", "ema_state_dict", "model_ema_state_dict")
_WRAPPERS = (
    *("best_state", "state_dict", "model_state_dict", "model", "generator", "codec", "net"),
    *("network", "module", "weights", "g", "net_g", "encodec"),
)
_TOOLS = re.compile(r"(?:^|(?<=\.))(?:_orig_mod|module)\.")
_FIRST = re.compile(r"^((?:[^.]+\.)*?)encoder\.(?:model|layers)\.0\.conv\.")
_AVERAGED = re.compile(r"(^|[._])(ema|shadow|averaged?)([._]|$)")

_T = TypeVar("_T")


def inner_state(content: Any) -> Any:
    """The mapping in `content`, as unpickled, that holds a codec's tensors; else `content`."""
    for _ in range(_MOST_LEVELS):
        if not isinstance(content, Mapping) or _starts_codec(content):
            return content
        inside = [name for name in (*_EMA, *_WRAPPERS) if isinstance(content.get(name), Mapping)]
        found = next((name for name in inside if _holds_codec(content[name], _MOST_LEVELS)), None)
        if found is None:
            return content
        content = content[found]
    return content


def without_prefixes(state: Mapping[str, _T], where: str) -> dict[str, _T]:
    """`state` under the names of the codec alone; as it is if no codec is in it.

    Of a model and its average the average is taken.

    Raises:
        CheckpointError: several codecs in one file, or two tensors of one name.
    """
    plain: dict[str, _T] = {}
    for name, value in state.items():
        short = _TOOLS.sub("", name)
        if short in plain:
            raise CheckpointError(f"{where}: {shown(short)}: there more than once")
        plain[short] = value
    prefixes = _prefixes(plain)
    averaged = [prefix for prefix in prefixes if _AVERAGED.search(prefix)]
    if len(averaged) == 1:
        prefixes = averaged
    if len(prefixes) > 1:
        names = ", ".join(printable(prefix)[:40] or "(no prefix)" for prefix in prefixes[:4])
        raise CheckpointError(
            f"{where}: holds several codecs, under {names}; save the one to use by itself"
        )
    if not prefixes or not prefixes[0]:
        return plain
    [prefix] = prefixes
    return {
        name.removeprefix(prefix): value for name, value in plain.items() if name.startswith(prefix)
    }


def _prefixes(names: Iterable[str]) -> list[str]:
    return sorted({match[1] for name in names if (match := _FIRST.match(name))})


def _starts_codec(content: Mapping[Any, Any]) -> bool:
    names = (_TOOLS.sub("", name) for name in content if isinstance(name, str))
    return bool(_prefixes(names))


def _holds_codec(content: Any, levels: int) -> bool:
    if not levels or not isinstance(content, Mapping):
        return False
    return _starts_codec(content) or any(
        _holds_codec(content[name], levels - 1) for name in (*_EMA, *_WRAPPERS) if name in content
    )
